"""A table as a value: what it says, before any format.

Text is plain Unicode here; the writers in `robench.report.render` escape it.
"""

import string
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from robench.grid.records import Result
from robench.report.names import NORMS, proper
from robench.report.ranking import TEST, Rank, Standing
from robench.report.results import natural
from robench.trust.bounds import accuracy_bound
from robench.trust.flags import doubts, explain, whole_set
from robench.trust.statistics import Interval, mean_sd

TIED = "†"


@dataclass(frozen=True)
class Number:
    """An accuracy in percent, or a difference of two in points.

    ``sd`` is the standard deviation over seeds, None for a single seed. ``standing`` is that in its
    column, where it has rivals. ``flags`` are the names of those that cast doubt on it, and
    ``mark`` is a sign such as "?" that `Table.notes` explains. Where ``least`` is given, a bound is
    all that is known: the accuracy is between the two.
    """

    value: float
    sd: float | None = None
    standing: Standing | None = None
    flags: tuple[str, ...] = ()
    mark: str = ""
    least: float | None = None


Entry = Number | str | None
"""None is a missing number."""


@dataclass(frozen=True)
class Row:
    """A line of a table: a name for each of `Table.names`, an entry for each of its columns."""

    names: tuple[str, ...]
    entries: tuple[Entry, ...]


class Note(NamedTuple):
    """A sentence below a table, and the mark in the table that it explains, or ""."""

    mark: str
    text: str


@dataclass(frozen=True)
class Table:
    """Rows in groups, with a caption above and notes below.

    ``names`` are the headings of text, ``columns`` those of numbers; where ``above`` is given, its
    text stands above each column, once for neighbours that share it.
    """

    caption: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    notes: tuple[Note, ...] = ()
    above: tuple[str, ...] = ()

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings of numbers, each in one line."""
        above = self.above or [""] * len(self.columns)
        return tuple(" ".join(filter(None, two)) for two in zip(above, self.columns, strict=True))

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group]

    @property
    def numbers(self) -> list[Number]:
        """The numbers among the entries."""
        return [entry for row in self.rows for entry in row.entries if isinstance(entry, Number)]

    @cached_property
    def letters(self) -> dict[str, str]:
        """A footnote's letter for each flag, "" for one that all numbers have: it is said once."""
        several = [set(number.flags) for number in self.numbers]
        common = set.intersection(*several) if several else set()
        flags = sorted(set().union(*several), key=natural)
        marked = (flag for flag in flags if flag not in common)
        letters = dict(zip(marked, string.ascii_letters, strict=False))
        return {flag: "" for flag in flags if flag in common} | letters

    def footnotes(self, best: str = "Bold", ranks: bool = True) -> list[Note]:
        """The notes, the meaning of the marks where there are any, and that of each flag.

        ``best`` is how the best number is marked, and ``ranks`` whether numbers have their ranks.
        """
        standings = [one.standing for one in self.numbers if one.standing]
        found = {one.rank for one in standings}
        marks = [
            f"{best}: best of its column" if Rank.BEST in found else "",
            f"{TIED}: tied with the best" if Rank.TIED in found else "",
            "#: the ranks that it may have" if ranks and any(map(str, standings)) else "",
        ]
        said = "; ".join(filter(None, marks))
        test = [Note("", f"{said} ({TEST}).")] * bool(said)
        flags = [
            Note(letter, explain(flag) if letter else f"All numbers {explain(flag)}")
            for flag, letter in self.letters.items()
        ]
        return [*self.notes, *test, *flags]


def number(seeds: Collection[Result], standing: Standing | None = None, mark: str = "") -> Number:
    """The accuracy of one method over its seeds, in percent, with the flags of any seed."""
    ordered = sorted(seeds, key=lambda result: result.seed)
    ends = [
        accuracy_bound(one.outcome) or Interval(one.correct / one.n, one.correct / one.n)
        for one in ordered
    ]
    mean, sd = mean_sd([100 * end.high for end in ends])
    if all(end.low == end.high for end in ends):
        return Number(mean, sd, standing, flags_of(ordered), mark)
    least, _ = mean_sd([100 * end.low for end in ends])
    return Number(mean, None, None, flags_of(ordered), mark, least)


def images_of(results: Iterable[Result]) -> str:
    """The numbers of test images, beside that of the whole set where it is larger."""
    sizes = sorted({(one.n, whole_set(one.counts)) for one in results})
    return " and ".join(f"{n:,} of {total:,}" if n < total else f"{n:,}" for n, total in sizes)


def flags_of(results: Iterable[Result]) -> tuple[str, ...]:
    """The flags that cast doubt on any of the results, by name."""
    flags = {flag for result in results for flag in doubts(result.flags)}
    return tuple(sorted(flags, key=natural))


def attack_names(attacks: Iterable[tuple[str, str, str]]) -> list[str]:
    """A heading for each (attack, norm, eps), as of `attack_heads`, in one line."""
    return [" ".join(filter(None, two)) for two in attack_heads(attacks)]


def attack_heads(attacks: Iterable[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """The attack of each (attack, norm, eps), and its ball: ("PGD-20", "8/255").

    The norm stands only where not all are linf: ("PGD-20", "L2 0.5").
    """
    attacks = list(attacks)
    with_norm = not {norm for _, norm, _ in attacks} <= {"", "linf"}
    return [
        (proper(attack), f"{NORMS.get(norm, norm)} {eps}".strip() if with_norm else eps)
        for attack, norm, eps in attacks
    ]
