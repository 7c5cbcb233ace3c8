"""A table as a value, and the table of a paper as one: what it says, before any format.

Text is plain Unicode here; the writers in `robench.report.render` escape it.
"""

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from robench.grid.records import Labels, Result
from robench.report.results import (
    CLEAN,
    Seeds,
    attack_order,
    grouped,
    method_order,
    natural,
    paired,
    place,
    radius,
    seed,
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

    @cached_property
    def letters(self) -> dict[str, str]:
        """A footnote's letter for each flag, a to z, then aa; none for one that all numbers have.

        Such a flag distinguishes nothing, so it is said once, below.
        """
        flags = {flag for number in self._numbers for flag in number.flags}
        return flag_letters(flags.difference(self._common))

    @property
    def footnotes(self) -> list[Note]:
        """The notes, the sign of a tie where there is one, and the explanation of each flag."""
        tied = [Note(TIED, _TIE)] if any(one.rank is Rank.TIED for one in self._numbers) else []
        everywhere = [Note("", f"All numbers {self.flags[flag]}") for flag in self._common]
        marked = [Note(letter, self.flags[flag]) for flag, letter in self.letters.items()]
        return [*self.notes, *tied, *everywhere, *marked]

    @property
    def _numbers(self) -> list[Number]:
        return [entry for row in self.rows for entry in row.entries if isinstance(entry, Number)]

    @cached_property
    def _common(self) -> list[str]:
        several = [set(number.flags) for number in self._numbers]
        return sorted(set.intersection(*several), key=natural) if several else []


def flag_letters(flags: Iterable[str]) -> dict[str, str]:
    """A footnote's letter for each flag: a to z, then aa."""
    return {flag: _letter(place) for place, flag in enumerate(sorted(set(flags), key=natural))}


def _letter(place: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    first, last = divmod(place, len(letters))
    return (_letter(first - 1) if first else "") + letters[last]


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
    by_place = grouped(results, lambda one: (place(one), one.seed), lambda one: one.cell.key)
    for keys in map(sorted, by_place.values()):
        if len(keys) > 1:
            raise ValueError(
                f"{keys[0]} and {keys[1]} belong in the same place of the table; "
                "report runs with different settings from different folders"
            )
    results = [result for one in by_place.values() for result in one.values()]
    if not results:
        raise ValueError("there are no results to report; `robench run` makes some")
    places = grouped(results, lambda result: (_line(result), _column(result)), seed)
    lines = sorted({line for line, _ in places}, key=lambda line: _line_order(line, methods))
    columns = _columns(places)
    names = _names(lines)
    groups = []
    for pair in dict.fromkeys((line.source, line.target) for line in lines):
        group = [line for line in lines if (line.source, line.target) == pair]
        entries: dict[tuple[Labels, Column], Number] = {}
        for column in columns:
            shown = {line: places[line, column] for line in group if (line, column) in places}
            for line, rank in rank_column(shown).items():
                entries[line, column] = number(shown[line].values(), rank)
        rows = [
            Row(
                tuple(_name(line, heading) for heading in names),
                tuple(entries.get((line, column)) for column in columns),
            )
            for line in group
        ]
        groups.append(tuple(rows))
    return Table(
        caption=caption(results, scale),
        names=names,
        columns=_headings(columns),
        groups=tuple(groups),
        flags=explained(results),
    )


def number(seeds: Collection[Result], rank: Rank = Rank.NONE, mark: str = "") -> Number:
    """The accuracy of one method over its seeds, in percent, with the flags of any seed."""
    ordered = sorted(seeds, key=seed)
    mean, sd = mean_sd([100 * result.correct / result.n for result in ordered])
    return Number(mean, sd, rank, flags_of(ordered), mark)


def flags_of(results: Iterable[Result]) -> tuple[str, ...]:
    """The flags that any of the results carries, by name."""
    return tuple(sorted({flag for result in results for flag in result.flags}, key=natural))


def explained(results: Iterable[Result]) -> dict[str, str]:
    """The sentence of each flag that the results carry."""
    flagged: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        for flag in result.flags:
            flagged[flag].append(result)
    return {
        flag: explain(flag, [result.cell for result in found]) for flag, found in flagged.items()
    }


def _line(result: Result) -> Labels:
    return dataclasses.replace(result.labels, attack="")


def _column(result: Result) -> Column:
    return Column(result.labels.attack, result.norm, result.eps, result.n)


def _line_order(line: Labels, methods: Sequence[str]) -> tuple[object, ...]:
    method = method_order(line.method, methods)
    return (natural(line.source), natural(line.target), *method, natural(line.encoder), line.probe)


def _columns(places: Mapping[tuple[Labels, Column], Seeds]) -> list[Column]:
    """Clean first, then attacks by the accuracy they leave at their largest eps, most first."""
    accuracies: dict[Column, list[Fraction]] = defaultdict(list)
    for (_, column), seeds in places.items():
        accuracies[column].append(accuracy(seeds.values()))
    left: dict[tuple[str, str], Fraction] = {}
    smallest: dict[tuple[str, str], Fraction] = {}
    for column in sorted(accuracies, key=lambda c: (radius(c.eps), c.n)):
        left[column[:2]] = statistics.mean(accuracies[column])
        smallest.setdefault(column[:2], radius(column.eps))

    def order(column: Column) -> tuple[object, ...]:
        strength = (-left[column[:2]], smallest[column[:2]])
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
        if line in winners:
            ranks[line] = Rank.BEST
        elif any(is_tie(p_value(column[line], column[winner])) for winner in winners):
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


def is_tie(p: float | None) -> bool:
    """Whether a test was made and does not distinguish the two."""
    return p is not None and p > SIGNIFICANT


# --- words around the numbers


def attack_name(attack: str, norm: str, eps: str, *, with_norm: bool) -> str:
    """An attack as a heading: ``pgd 8/255``, or ``pgd l2 0.5`` with the norm."""
    return " ".join(word for word in (attack, norm if with_norm else "", eps) if word)


def says_norm(norms: Iterable[str]) -> bool:
    """Whether headings name the norm: some attack has another than linf."""
    return not set(norms) <= {"", "linf"}


def caption(results: Sequence[Result], scale: str) -> str:
    """What was measured, its intervals, and the scale."""
    images = sorted({result.n for result in results})
    count = f"{images[0]:,}" if len(images) == 1 else f"{images[0]:,} to {images[-1]:,}"
    intervals = [wilson(result.correct, result.n) for result in results]
    half = [50 * (interval.high - interval.low) for interval in intervals]
    seeds = sorted({result.seed for result in results})
    over = f"seed {seeds[0]}"
    if len(seeds) > 1:
        over = f"mean ± standard deviation over the seeds {', '.join(map(str, seeds))}"
    sentences = [
        f"Accuracy (%) on {count} test images, {over}",
        f"95% Wilson intervals of single numbers: half width {statistics.median(half):.1f} points "
        f"(median), at most {max(half):.1f}",
        _same_everywhere([result.labels for result in results]),
        f"Scale: {scale}",
    ]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _same_everywhere(lines: Iterable[Labels]) -> str:
    """What all rows share and so has no column."""
    lines = list(lines)
    facts = [
        prefix + _name(lines[0], heading)
        for heading, prefix in _OPTIONAL.items()
        if len({_name(line, heading) for line in lines}) == 1
    ]
    text = ", ".join(facts)
    return text[:1].upper() + text[1:] if text.startswith(("encoder ", "probe ")) else text


_OPTIONAL = {"source → target": "", "encoder": "encoder ", "probe": "probe "}


def _names(lines: Sequence[Labels]) -> tuple[str, ...]:
    """The headings of names: the method, and what else has more than one value."""
    return tuple(
        heading
        for heading in ("source → target", "method", "encoder", "probe")
        if heading == "method" or len({_name(line, heading) for line in lines}) > 1
    )


def _name(line: Labels, heading: str) -> str:
    if heading == "source → target":
        return f"{line.source} → {line.target}"
    return str(getattr(line, heading))


def _headings(columns: Sequence[Column]) -> tuple[str, ...]:
    """The norm and n stand only where they distinguish columns."""
    with_norm = says_norm(column.norm for column in columns)
    with_n = len({column.n for column in columns}) > 1
    return tuple(
        attack_name(attack, norm, eps, with_norm=with_norm) + (f" (n = {n})" if with_n else "")
        for attack, norm, eps, n in columns
    )
