"""A table as a value, and the table of a paper as one: what it says, before any format.

Text is plain Unicode here; the writers in `robench.report.render` escape it.
"""

import dataclasses
import statistics
import string
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from robench.grid.records import Labels, Result
from robench.report.results import (
    CLEAN,
    Seeds,
    attack_order,
    method_order,
    natural,
    paired,
    radius,
)
from robench.trust.flags import explain
from robench.trust.statistics import exact_mcnemar, mean_sd, wilson

SIGNIFICANT = 0.05
TIED = "†"
_TIE = (
    "not distinguishable from the best of its column (exact McNemar test on the same images, an "
    "image with all its seeds, two-sided p > 0.05)"
)


class Rank(Enum):
    """A number's rank in its column."""

    BEST = "best"
    TIED = "tied"
    NONE = ""


@dataclass(frozen=True)
class Number:
    """An accuracy in percent, or a difference of two in points.

    ``sd`` is the standard deviation over seeds, None for a single seed. ``flags`` are names, and
    ``mark`` is a sign such as "?" that `Table.notes` explains.
    """

    value: float
    sd: float | None = None
    rank: Rank = Rank.NONE
    flags: tuple[str, ...] = ()
    mark: str = ""


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

    ``names`` are the headings of text, ``columns`` those of numbers. ``flags`` explains each flag
    of the numbers.
    """

    caption: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    notes: tuple[Note, ...] = ()
    flags: Mapping[str, str] = dataclasses.field(default_factory=dict)

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

    @property
    def footnotes(self) -> list[Note]:
        """The notes, the sign of a tie where there is one, and the explanation of each flag."""
        tied = [Note(TIED, _TIE)] if any(one.rank is Rank.TIED for one in self.numbers) else []
        flags = [
            Note(letter, self.flags[flag] if letter else f"All numbers {self.flags[flag]}")
            for flag, letter in self.letters.items()
        ]
        return [*self.notes, *tied, *flags]


# --- the table of a paper


class Column(NamedTuple):
    """An attack, and the number of images that it was tried on."""

    attack: str
    norm: str
    eps: str
    n: int


def pivot(results: Iterable[Result], *, scale: str, methods: Sequence[str] = ()) -> Table:
    """Methods down, ``methods`` first, clean and attacked accuracy across, averaged over seeds.

    The best unflagged value for each source, target and column is marked, and so is every value
    that an exact McNemar test on the same images does not distinguish from it. Accuracies on
    different numbers of images are different columns.

    Raises ValueError where there are no results, or two for the same place and seed.
    """
    places: dict[tuple[Labels, Column], dict[int, Result]] = defaultdict(dict)
    for one in results:
        column = Column(one.labels.attack, one.norm, one.eps, one.n)
        seeds = places[dataclasses.replace(one.labels, attack=""), column]
        keys = sorted({one.cell.key, seeds.setdefault(one.seed, one).cell.key})
        if len(keys) > 1:
            raise ValueError(
                f"{keys[0]} and {keys[1]} belong in the same place of the table; "
                "report runs with different settings from different folders"
            )
    if not places:
        raise ValueError("there are no results to report; `robench run` makes some")
    lines = sorted(
        {line for line, _ in places},
        key=lambda line: (
            natural(line.source),
            natural(line.target),
            method_order(line.method, methods),
            natural(line.encoder),
            natural(line.probe),
        ),
    )
    columns = _columns(places)
    named = {line: _names(line) for line in lines}
    values = {heading: {own[heading] for own in named.values()} for heading in _HEADINGS}
    headings = [one for one in _HEADINGS if one == "method" or len(values[one]) > 1]
    alike = [f"{one} {named[lines[0]][one]}" for one in _HEADINGS if one not in headings]
    groups = []
    for _, of_pair in groupby(lines, key=lambda line: (line.source, line.target)):
        group = list(of_pair)
        numbers = []
        for column in columns:
            shown = {line: places[line, column] for line in group if (line, column) in places}
            ranks = rank_column(shown)
            numbers.append({line: number(shown[line].values(), ranks[line]) for line in shown})
        rows = (
            Row(
                tuple(named[line][heading] for heading in headings),
                tuple(column.get(line) for column in numbers),
            )
            for line in group
        )
        groups.append(tuple(rows))
    unique = [result for seeds in places.values() for result in seeds.values()]
    return Table(
        caption=_caption(unique, alike, scale),
        names=tuple(headings),
        columns=_column_headings(columns),
        groups=tuple(groups),
        flags=explained(unique),
    )


_HEADINGS = ("source → target", "method", "encoder", "probe")


def _names(line: Labels) -> dict[str, str]:
    values = (f"{line.source} → {line.target}", line.method, line.encoder, line.probe)
    return dict(zip(_HEADINGS, values, strict=True))


def number(seeds: Collection[Result], rank: Rank = Rank.NONE, mark: str = "") -> Number:
    """The accuracy of one method over its seeds, in percent, with the flags of any seed."""
    ordered = sorted(seeds, key=lambda result: result.seed)
    mean, sd = mean_sd([100 * result.correct / result.n for result in ordered])
    return Number(mean, sd, rank, flags_of(ordered), mark)


def flags_of(results: Iterable[Result]) -> tuple[str, ...]:
    """The flags that any of the results carries, by name."""
    return tuple(sorted({flag for result in results for flag in result.flags}, key=natural))


def explained(results: Iterable[Result]) -> dict[str, str]:
    """The sentence of each flag that the results carry."""
    results = list(results)
    return {
        flag: explain(flag, [result for result in results if flag in result.flags])
        for flag in flags_of(results)
    }


def _columns(places: Mapping[tuple[Labels, Column], Seeds]) -> list[Column]:
    """Clean first, then attacks by the accuracy they leave at their largest eps, most first."""
    accuracies: dict[Column, list[Fraction]] = defaultdict(list)
    for (_, column), seeds in places.items():
        accuracies[column].append(accuracy(seeds.values()))

    def order(column: Column) -> tuple[object, ...]:
        alike = [one for one in accuracies if one[:2] == column[:2]]
        alike.sort(key=lambda one: (radius(one.eps), one.n))
        strength = (-statistics.mean(accuracies[alike[-1]]), radius(alike[0].eps))
        return (column.attack != CLEAN, *strength, *attack_order(*column[:3]), column.n)

    return sorted(accuracies, key=order)


# --- the best of a column


def rank_column(column: Mapping[Labels, Seeds]) -> dict[Labels, Rank]:
    """The rank of each row's results, given by seed.

    The best is the highest mean over seeds. Tied with it is whatever McNemar's exact test does not
    distinguish from it (p > 0.05) on the same images, over the seeds that both have. A row with a
    flag on any seed neither wins nor ties. Where all unflagged values are equal they are tied; a
    single one has nothing to win against.
    """
    ranks = dict.fromkeys(column, Rank.NONE)
    rivals = {
        line: accuracy(seeds.values())
        for line, seeds in column.items()
        if not any(result.flags for result in seeds.values())
    }
    if len(rivals) < 2:
        return ranks
    top = max(rivals.values())
    winners = [line for line, value in rivals.items() if value == top]
    if len(winners) == len(rivals):
        return ranks | dict.fromkeys(winners, Rank.TIED)
    for line in rivals:
        p_values = [p_value(column[line], column[winner]) for winner in winners]
        if line in winners:
            ranks[line] = Rank.BEST
        elif any(p is not None and p > SIGNIFICANT for p in p_values):
            ranks[line] = Rank.TIED
    return ranks


def accuracy(seeds: Collection[Result]) -> Fraction:
    """The mean over seeds, exactly: equal results are equal in any order."""
    return statistics.mean([Fraction(result.correct, result.n) for result in seeds])


def p_value(a: Seeds, b: Seeds) -> float | None:
    """The p of McNemar's exact test between two rows' results on what both have.

    None where they have no seed, or no image, in common.
    """
    ours, theirs = paired(a, b)
    return exact_mcnemar(ours.sum(axis=0) - theirs.sum(axis=0)) if ours.size else None


# --- words around the numbers


def attack_names(attacks: Sequence[tuple[str, str, str]]) -> list[str]:
    """A heading for each (attack, norm, eps): ``pgd 8/255``, or ``pgd l2 0.5`` with the norm.

    The norm stands only where not all are linf.
    """
    with_norm = not {norm for _, norm, _ in attacks} <= {"", "linf"}
    return [
        " ".join(word for word in (attack, norm if with_norm else "", eps) if word)
        for attack, norm, eps in attacks
    ]


def _column_headings(columns: Sequence[Column]) -> tuple[str, ...]:
    """The number of images stands only where it distinguishes columns."""
    names = attack_names([column[:3] for column in columns])
    if len({column.n for column in columns}) == 1:
        return tuple(names)
    return tuple(f"{name} (n = {column.n})" for name, column in zip(names, columns, strict=True))


def _caption(results: Sequence[Result], alike: Sequence[str], scale: str) -> str:
    """The measurement, its intervals, what is ``alike`` in all rows, and the scale."""
    images = sorted({result.n for result in results})
    count = " to ".join(f"{n:,}" for n in dict.fromkeys((images[0], images[-1])))
    intervals = [wilson(result.correct, result.n) for result in results]
    half = [50 * (interval.high - interval.low) for interval in intervals]
    seeds = sorted({result.seed for result in results})
    over = f"seed {seeds[0]}"
    if len(seeds) > 1:
        over = f"mean ± standard deviation over the seeds {', '.join(map(str, seeds))}"
    same = ", ".join(alike).replace(_HEADINGS[0], "data")
    sentences = [
        f"Accuracy (%) on {count} test images, {over}",
        f"95% Wilson intervals of single numbers: half width {statistics.median(half):.1f} points "
        f"(median), at most {max(half):.1f}",
        same[:1].upper() + same[1:],
        f"Scale: {scale}",
    ]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)
