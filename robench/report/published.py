"""Accuracies that papers and others report, with their sources; nothing here is measured.

``values.csv``, beside this file, has one value a line. Two sources that disagree are two lines, and
values of different sources are never mixed in one place.
"""

import csv
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from robench.grid.spec import SpecError, nearest

Percent = Annotated[Decimal, Field(ge=0, le=100)]
Text = Annotated[str, Field(min_length=1)]

MEANINGS = {
    "?": "not checked against the paper; no statement rests on it",
    "‡": "from somebody else's page, not from the authors",
}
"""The marks that values carry wherever they are shown, each with its footnote."""


@dataclass(frozen=True)
class Published:
    """An accuracy in percent as ``source_text`` reports it, in the source's own words.

    ``source`` and ``target`` are the data sets of the pretraining and of the evaluation, ``norm``
    and ``eps`` "" without an attack. ``confidence`` is "exact" for a value from the paper's authors
    (their paper, page or repository), "secondary" for somebody else's page about it, and
    "unverified" for one that was not checked against the paper. ``value`` has the digits printed.
    """

    paper: Text
    table: Text
    source: Text
    target: Text
    encoder: Text
    method: Text
    protocol: Text
    attack: Text
    norm: Literal["", "linf", "l2", "l1"]
    eps: Annotated[str, Field(pattern=r"^([0-9]+/255|[0-9]+(\.[0-9]+)?)?$")]
    value: Percent
    confidence: Literal["exact", "secondary", "unverified"]
    source_text: Text

    @property
    def verified(self) -> bool:
        """True if a statement may rest on the value."""
        return self.confidence != "unverified"

    @property
    def mark(self) -> str:
        """The mark of its confidence, one of `MEANINGS`; "" for an exact value."""
        return {"exact": "", "secondary": "‡", "unverified": "?"}[self.confidence]

    def __str__(self) -> str:
        """The value with its mark, the only way in which it is shown: ``91.25?``."""
        return f"{self.value}{self.mark}"


_VALUES = TypeAdapter(list[Published])


@cache
def values() -> tuple[Published, ...]:
    """Every published value, in the order of the file."""
    return read((files(__package__) / "values.csv").read_text(encoding="utf-8"))


def read(text: str) -> tuple[Published, ...]:
    """Read values from CSV whose columns are the fields of `Published`.

    Raises pydantic's ValidationError, a ValueError, for a line that is not of that form.
    """
    return tuple(_VALUES.validate_python(list(csv.DictReader(text.splitlines(), strict=True))))


def listing(values: Sequence[Published], words: Sequence[str]) -> list[str]:
    """A line for each value that has all the words, in any case, and the meaning of their marks.

    Raises SpecError, with the nearest names, for a word that no value has.
    """
    lines = {value: _line(value) for value in values}
    found = [v for v, line in lines.items() if all(word.lower() in line.lower() for word in words)]
    if not found:
        papers = sorted({value.paper.lower() for value in values})
        raise SpecError(
            f"no published value has {' and '.join(words)}; {nearest(words[0], papers)}"
        )
    marks = {value.mark for value in found}
    notes = [f"{mark} {meaning}" for mark, meaning in MEANINGS.items() if mark in marks]
    count = f"{len(found)} of {len(values)} values; more words choose fewer"
    return [*(lines[value] for value in found), *notes, count]


def _line(value: Published) -> str:
    attack = " ".join(word for word in (value.attack, value.norm, value.eps) if word)
    return (
        f"{value!s:>6}  {value.method}, {value.protocol}, {value.source} -> {value.target}, "
        f"{value.encoder}, {attack}  [{value.confidence}] {value.paper}, {value.table}: "
        f"{value.source_text}"
    )
