"""Numbers that papers and others report, as facts with their sources; nothing here is measured.

``values.csv`` has one value a line, beside this file. Two sources that disagree are two lines, and
values of different sources never stand for each other.
"""

import csv
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

Percent = Annotated[Decimal, Field(ge=0, le=100)]
Text = Annotated[str, Field(min_length=1)]

UNVERIFIED = "?"
"""What an unverified value carries wherever it is shown."""

SECONDARY = "‡"
"""What a secondary value carries wherever it is shown."""

MEANINGS = {
    UNVERIFIED: "not checked against the paper; no statement rests on it",
    SECONDARY: "from somebody else's page, not from the authors",
}
"""The footnote of each mark."""


@dataclass(frozen=True)
class Published:
    """An accuracy in percent as ``source_text`` reports it, in the source's own words.

    ``source`` and ``target`` are the data sets of the pretraining and of the evaluation, ``norm``
    and ``eps`` "" where nothing is attacked. ``confidence`` is "exact" for a value from the paper's
    authors (their paper, page or repository), "secondary" for somebody else's page about it, and
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
        """Whether a statement may rest on the value."""
        return self.confidence != "unverified"

    @property
    def mark(self) -> str:
        """The mark of its confidence, one of `MEANINGS`; "" for an exact value."""
        return {"unverified": UNVERIFIED, "secondary": SECONDARY}.get(self.confidence, "")

    def __str__(self) -> str:
        """The value with its mark, the only way in which it is shown: ``91.25?``."""
        return f"{self.value}{self.mark}"


@cache
def values() -> tuple[Published, ...]:
    """Every published value, in the order of the file."""
    text = files(__name__).joinpath("values.csv").read_text(encoding="utf-8")
    return read(text)


def read(text: str) -> tuple[Published, ...]:
    """Read values from CSV whose columns are the fields of `Published`.

    Raises pydantic's ValidationError, a ValueError, for a line that is not of that form.
    """
    rows = list(csv.DictReader(text.splitlines(), strict=True))
    return tuple(_VALUES.validate_python(rows))


_VALUES = TypeAdapter(list[Published])
