"""The words around a table's numbers: headings, the caption, the notes below."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from robench.grid.records import Cell
from robench.report.order import natural
from robench.trust.flags import explain
from robench.trust.intervals import wilson

TIED = "†"


class Flagged(Protocol):
    """What may carry flags: a cell, or a number made of several."""

    @property
    def flags(self) -> tuple[str, ...]: ...


def attack_name(attack: str, norm: str, eps: str, *, with_norm: bool) -> str:
    """What a reader calls an attack: ``pgd 8/255``, or ``pgd l2 0.5`` with the norm."""
    return " ".join(word for word in (attack, norm if with_norm else "", eps) if word)


def says_norm(norms: Iterable[str]) -> bool:
    """Whether the norm must be said: some attack has another than linf."""
    return not set(norms) <= {"", "linf"}


def headings(columns: Sequence[tuple[str, str, str, int]]) -> tuple[str, ...]:
    """A heading for each (attack, norm, eps, n), with the norm and n only where they tell apart."""
    with_norm = says_norm(norm for _, norm, _, _ in columns)
    with_n = len({n for _, _, _, n in columns}) > 1
    return tuple(
        attack_name(attack, norm, eps, with_norm=with_norm) + (f" (n = {n})" if with_n else "")
        for attack, norm, eps, n in columns
    )


def caption(cells: Sequence[Cell], scale: str) -> str:
    """What is in the table, how sure it is, and at which scale it was made."""
    images = sorted({cell.n for cell in cells})
    count = f"{images[0]:,}" if len(images) == 1 else f"{images[0]:,} to {images[-1]:,}"
    intervals = [wilson(cell.correct, cell.n) for cell in cells]
    half = [50 * (interval.high - interval.low) for interval in intervals]
    sentences = [
        f"Accuracy (%) on {count} test images, {_over_seeds(cells)}",
        f"95% Wilson intervals of single numbers: half width {statistics.median(half):.1f} points "
        f"(median), at most {max(half):.1f}",
        _fixed(cells),
        f"Scale: {scale}",
    ]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def flag_letters(numbers: Iterable[Flagged]) -> dict[str, str]:
    """A footnote's letter for each flag: a to z, then aa."""
    flags = sorted({flag for number in numbers for flag in number.flags}, key=natural)
    return {flag: _letter(place) for place, flag in enumerate(flags)}


def on_all(numbers: Iterable[Flagged]) -> tuple[str, ...]:
    """The flags that every number carries."""
    several = [set(number.flags) for number in numbers]
    return tuple(sorted(set.intersection(*several), key=natural)) if several else ()


def notes(
    ties: bool, cells: Sequence[Cell], letters: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """The marks in the table and what they mean."""
    seeds = len({cell.seed for cell in cells}) > 1
    explained = [
        (letter, explain(flag, [cell for cell in cells if flag in cell.flags]))
        for flag, letter in letters.items()
    ]
    if ties:
        tie = (
            "not distinguishable from the best of its column "
            "(exact McNemar test on the same images, two-sided p > 0.05"
        )
        explained.insert(0, (TIED, tie + (", an image with all its seeds)" if seeds else ")")))
    return tuple(explained)


def _over_seeds(cells: Sequence[Cell]) -> str:
    seeds = sorted({cell.seed for cell in cells})
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"mean ± standard deviation over the seeds {', '.join(map(str, seeds))}"


def _fixed(cells: Sequence[Cell]) -> str:
    """What is the same for every row and so has no column."""
    facts = []
    for name, values in (
        ("", {f"{cell.labels.source} → {cell.labels.target}" for cell in cells}),
        ("encoder ", {cell.labels.encoder for cell in cells}),
        ("probe ", {cell.labels.probe for cell in cells}),
    ):
        if len(values) == 1:
            facts.append(name + values.pop())
    text = ", ".join(facts)
    return text[:1].upper() + text[1:] if text.startswith(("encoder ", "probe ")) else text


def _letter(place: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    first, last = divmod(place, len(letters))
    return (_letter(first - 1) if first else "") + letters[last]
