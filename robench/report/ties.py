"""Which values of a column are the best, and which cannot be told from the best."""

from collections.abc import Collection, Mapping
from enum import Enum
from fractions import Fraction
from statistics import mean

import numpy as np

from robench.grid.records import Labels, Result
from robench.trust.paired import exact_mcnemar, on_same_images

SIGNIFICANT = 0.05


class Standing(Enum):
    """How a value compares with the others of its column."""

    BEST = "best"
    TIED = "tied"
    PLAIN = ""


def judge(column: Mapping[Labels, Mapping[int, Result]]) -> dict[Labels, Standing]:
    """The standing of each row's results, given by seed.

    Best is the highest mean over seeds, tied whatever McNemar's exact test on the same images, over
    the seeds that both have, cannot tell from it (p > 0.05). Flagged results neither
    win nor tie. Where all unflagged values are equal they are tied; a single one has nothing to win
    against.
    """
    standing = dict.fromkeys(column, Standing.PLAIN)
    rivals = {
        line: accuracy(seeds.values())
        for line, seeds in column.items()
        if not any(result.cell.flags for result in seeds.values())
    }
    if len(rivals) < 2:
        return standing
    top = max(rivals.values())
    winners = [line for line, value in rivals.items() if value == top]
    if len(winners) == len(rivals):
        return standing | dict.fromkeys(winners, Standing.TIED)
    for line in rivals:
        if line in winners:
            standing[line] = Standing.BEST
        elif any(_indistinguishable(column[line], column[winner]) for winner in winners):
            standing[line] = Standing.TIED
    return standing


def accuracy(seeds: Collection[Result]) -> Fraction:
    """The mean over seeds, exactly: equal results are equal in whatever order they come."""
    return mean([Fraction(result.cell.correct, result.cell.n) for result in seeds])


def p_value(a: Mapping[int, Result], b: Mapping[int, Result]) -> float | None:
    """The p of McNemar's exact test between two rows' results, given by seed, on what both have.

    None where they have no seed, or no image, in common.
    """
    both = sorted(a.keys() & b.keys())
    pairs = [on_same_images(a[seed].outcome, b[seed].outcome) for seed in both]
    images = np.concatenate([index for index, _ in pairs] or [np.zeros(0, np.int64)])
    if not len(images):
        return None
    each = np.concatenate([difference for _, difference in pairs])
    _, image = np.unique(images, return_inverse=True)
    summed = np.zeros(image.max() + 1, np.int64)
    np.add.at(summed, image, each)
    return exact_mcnemar(summed)


def _indistinguishable(a: Mapping[int, Result], b: Mapping[int, Result]) -> bool:
    p = p_value(a, b)
    return p is not None and p > SIGNIFICANT
