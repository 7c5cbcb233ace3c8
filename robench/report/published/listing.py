"""Published values in lines to read, chosen by words."""

import difflib
from collections.abc import Sequence

from robench.grid.spec import SpecError
from robench.report.published import MEANINGS, Published


def listing(values: Sequence[Published], words: Sequence[str]) -> list[str]:
    """A line for each value that has all the words, in any case; then what their marks mean.

    Raises SpecError, with the nearest names, for a word that no value has.
    """
    lines = {value: _line(value) for value in values}
    for word in words:
        if not any(word.lower() in line.lower() for line in lines.values()):
            raise SpecError(f"no published value has '{word}'; {_hint(word, values)}")
    found = {
        value: line
        for value, line in lines.items()
        if all(word.lower() in line.lower() for word in words)
    }
    if not found:
        raise SpecError(f"no published value has all of {', '.join(words)}; give fewer words")
    marks = {value.mark for value in found}
    notes = [f"{mark} {meaning}" for mark, meaning in MEANINGS.items() if mark in marks]
    count = f"{len(found)} of {len(values)} values"
    return [*found.values(), *notes, f"{count}; more words choose fewer"]


def _line(value: Published) -> str:
    attack = " ".join(word for word in (value.attack, value.norm, value.eps) if word)
    return (
        f"{value!s:>6}  {value.method}, {value.protocol}, {value.source} -> {value.target}, "
        f"{value.encoder}, {attack}  [{value.confidence}] {value.paper}, {value.table}: "
        f"{value.source_text}"
    )


def _hint(word: str, values: Sequence[Published]) -> str:
    known = {name.lower() for value in values for name in _names(value)}
    close = difflib.get_close_matches(word.lower(), sorted(known), n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return "name a method, a paper, a data set, an attack or a confidence, such as exact"


def _names(value: Published) -> tuple[str, ...]:
    return value.method, value.paper, value.protocol, value.attack, value.source, value.confidence
