"""Differences between rows of a column: one test, correction and family for tables and compare."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from itertools import combinations
from statistics import mean
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from robench.grid.records import Result
from robench.trust.flags import doubts
from robench.trust.statistics import exact_mcnemar, holm, on_same_images

SIGNIFICANT = 0.05
TEST = (
    "exact McNemar test on the same images, an image with all its seeds, two-sided, with Holm's "
    "correction for all pairs of rows in the column of which either has an image right, at 5%"
)

Seeds = Mapping[int, Result]
"""Results of one row, by seed."""

R = TypeVar("R", bound=Hashable)


class Rank(Enum):
    """A number's rank in its column."""

    BEST = "best"
    TIED = "tied"
    NONE = ""


@dataclass(frozen=True)
class Standing:
    """A number among the ``rivals`` of its column, itself included.

    ``first`` to ``last`` are the ranks that it may have: as many are distinguished from it, and
    better, or worse.
    """

    rank: Rank
    first: int
    last: int
    rivals: int

    def __str__(self) -> str:
        """The ranks, ``#2`` or ``#1-3``; "" where they could be any."""
        if (self.first, self.last) == (1, self.rivals):
            return ""
        return f"#{self.first}" if self.first == self.last else f"#{self.first}-{self.last}"


def paired(a: Seeds, b: Seeds) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether a and b are right on the images and seeds that they share: bool [seeds, n] each.

    n is 0 where nothing is shared.
    """
    both = sorted(a.keys() & b.keys())
    if not both:
        return np.zeros((0, 0), bool), np.zeros((0, 0), bool)
    _, right = on_same_images([side[seed] for side in (a, b) for seed in both])
    return right[: len(both)], right[len(both) :]


def p_value(a: Seeds, b: Seeds) -> float | None:
    """The p of McNemar's exact test, uncorrected; None where neither has an image right.

    That is also where they share no seed or image.
    """
    ours, theirs = paired(a, b)
    if not (ours.any() or theirs.any()):
        return None
    return exact_mcnemar(ours.sum(axis=0) - theirs.sum(axis=0))


def corrected(column: Mapping[R, Seeds]) -> dict[frozenset[R], float]:
    """The p of each pair of a column's rows, after Holm's correction.

    Pairs of which neither has an image right could not differ, and are left out of it.
    """
    found = {frozenset((a, b)): p_value(column[a], column[b]) for a, b in combinations(column, 2)}
    tested = {pair: p for pair, p in found.items() if p is not None}
    return dict(zip(tested, holm(list(tested.values())), strict=True))


def accuracy(seeds: Collection[Result]) -> Fraction:
    """The mean over seeds, exactly: equal results are equal in any order."""
    return mean([Fraction(result.correct, result.n) for result in seeds])


def rank_column(column: Mapping[R, Seeds]) -> dict[R, Standing]:
    """The standing of each row without a doubt on any seed, where there are two or more.

    There is none where all of them are 0.

    The best is the highest mean over seeds, and tied is what is not distinguished from it. Where
    all means are equal, all are tied.
    """
    rivals = {
        row: accuracy(seeds.values())
        for row, seeds in column.items()
        if not any(doubts(result.flags) for result in seeds.values())
    }
    if len(rivals) < 2 or not any(rivals.values()):
        return {}
    p_values = corrected(column)
    top = max(rivals.values())
    best = [row for row, value in rivals.items() if value == top]

    def apart(a: R, b: R) -> bool:
        return p_values.get(frozenset((a, b)), 1.0) <= SIGNIFICANT

    def standing(row: R) -> Standing:
        value = rivals[row]
        tied = any(p_values.get(frozenset((row, one)), 0.0) > SIGNIFICANT for one in best)
        rank = Rank.TIED if tied or len(best) == len(rivals) else Rank.NONE
        above = sum(apart(row, other) for other in rivals if rivals[other] > value)
        below = sum(apart(row, other) for other in rivals if rivals[other] < value)
        if value == top and len(best) < len(rivals):
            rank = Rank.BEST
        return Standing(rank, 1 + above, len(rivals) - below, len(rivals))

    return {row: standing(row) for row in rivals}
