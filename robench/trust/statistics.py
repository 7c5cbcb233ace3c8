"""Statistics of accuracies: intervals, the spread over seeds, and paired tests on the same images.

Several seeds of a method are tried on the same images, so the unit that is drawn, swapped and
counted in a paired test is the image. ``differences`` is int64 [n] throughout: on how many seeds
only the first method is right about an image, less on how many only the second is.
"""

import math
from collections.abc import Sequence
from functools import reduce
from statistics import NormalDist
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from robench.contracts import Outcome

RESAMPLES = 9_999


class Interval(NamedTuple):
    """Two limits, in the unit of what they enclose."""

    low: float
    high: float


def wilson(correct: int, n: int) -> Interval:
    """The 95% interval of Wilson (1927) for ``correct`` of ``n`` images, as fractions.

    Raises ValueError unless 0 <= correct <= n and n > 0.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} of {n} images correct: no accuracy can be computed from that")
    z = NormalDist().inv_cdf(0.975)
    middle = correct + z * z / 2
    reach = z * math.sqrt(correct * (n - correct) / n + z * z / 4)
    low = 0.0 if correct == 0 else (middle - reach) / (n + z * z)
    high = 1.0 if correct == n else (middle + reach) / (n + z * z)
    return Interval(low, high)


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the standard deviation with n - 1 below (None for a single value)."""
    mean = float(np.mean(values))
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else None


class Tried(Protocol):
    """The outcome for each image of a data set; ``data`` is the data set's hash."""

    @property
    def outcome(self) -> Outcome: ...
    @property
    def data(self) -> str: ...


def on_same_images(
    several: Sequence[Tried],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The images that all share, int64 [n], and whether each is right: bool [k, n].

    They are the same where index, label and the data's hash are; n is 0 where the data differ.
    """
    outcomes = [one.outcome for one in several]
    images = reduce(np.intersect1d, [outcome.index for outcome in outcomes])
    labels, right = [], []
    for outcome in outcomes:
        order = np.argsort(outcome.index)
        rows = order[np.searchsorted(outcome.index, images, sorter=order)]
        labels.append(outcome.label[rows])
        right.append(outcome.right[rows])
    same = len({one.data for one in several}) == 1 and not np.ptp(labels, axis=0).any()
    shown = slice(None if same else 0)
    return images[shown], np.stack(right)[:, shown]


def bootstrap(differences: npt.NDArray[np.int64], generator: np.random.Generator) -> Interval:
    """The 95% interval of the mean difference: paired bootstrap, percentiles (Efron 1979).

    Images are drawn with replacement, each with all of its seeds, `RESAMPLES` times. A resample's
    mean depends only on how often it has each value, and these counts are multinomial: drawing them
    is drawing the images, at a cost that does not grow with n.

    Raises ValueError without images.
    """
    n = len(differences)
    if n == 0:
        raise ValueError("there are no images to draw from")
    values, counts = np.unique(differences, return_counts=True)
    means = generator.multinomial(n, counts / n, size=RESAMPLES) @ values / n
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(low), float(high))


def exact_mcnemar(differences: npt.NDArray[np.int64]) -> float:
    """The two-sided p-value of McNemar's exact test, an image's seeds swapped together.

    Under the null hypothesis the two methods could be swapped on any image, so each difference
    keeps its size and a fair coin gives its sign. p is the chance of a sum at least as far from 0,
    exactly. With one seed that is McNemar's exact test; pooling the answers of several seeds would
    instead count an image that is easy for one method as often as there are seeds.
    """
    sums, chances = _null(differences)
    return min(1.0, float(chances[np.abs(sums) >= abs(int(differences.sum()))].sum()))


def smallest_significant(differences: npt.NDArray[np.int64], level: float) -> int:
    """The smallest sum of differences that `exact_mcnemar` finds at a ``level``, their sizes given.

    Where not even equal signs on all of them are enough, it is the smallest of any images: as many
    of size 1 as make ``2 / 2**images`` at most ``level``.
    """
    sums, chances = _null(differences)
    beyond = 2 * np.cumsum(chances[::-1])[::-1]  # the p of each positive sum
    found = sums[(sums > 0) & (chances > 0) & (beyond <= level)]
    return int(found[0]) if found.size else math.ceil(math.log2(2 / level))


def _null(
    differences: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The sums, in order, that the differences may have with other signs, and their chances."""
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        coins = np.zeros(size * count + 1)
        coins[::size] = _heads(count)
        chances = np.convolve(chances, coins)
    return 2 * np.arange(len(chances)) - (len(chances) - 1), chances


def _heads(tosses: int) -> list[float]:
    """The chances of 0, 1, .. ``tosses`` heads with a fair coin, by whole numbers."""
    ways = [1]
    for heads in range(tosses):
        ways.append(ways[-1] * (tosses - heads) // (heads + 1))
    return [way / 2**tosses for way in ways]


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the order given (Holm 1979).

    Rejecting where they are at most 0.05 rejects any true hypothesis with a chance of at most 0.05,
    however the tests depend on each other.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected = [1.0] * len(p_values)
    least = 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p_values[place]))
        corrected[place] = least
    return corrected
