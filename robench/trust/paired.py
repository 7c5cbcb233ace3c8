"""Two methods on the same images: how large the difference is, how sure, and among how many.

Several seeds of a method are tried on the same images, so an image and not an answer is what is
drawn, swapped and counted here. ``differences`` is int64 [n] throughout: on how many seeds the one
method alone is right about an image, less on how many the other alone is.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from robench.contracts import Outcome
from robench.trust.intervals import Interval

RESAMPLES = 9_999


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
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        coins = np.zeros(size * count + 1)
        coins[::size] = _heads(count)
        chances = np.convolve(chances, coins)
    sums = 2 * np.arange(len(chances)) - (len(chances) - 1)
    return min(1.0, float(chances[np.abs(sums) >= abs(int(differences.sum()))].sum()))


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


def on_same_images(a: Outcome, b: Outcome) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The images that both were tried on, and where a alone is right (1) or b alone (-1)."""
    index, in_a, in_b = np.intersect1d(a.index, b.index, assume_unique=True, return_indices=True)
    correct_a = a.prediction[in_a] == a.label[in_a]
    correct_b = b.prediction[in_b] == b.label[in_b]
    return index, correct_a.astype(np.int64) - correct_b.astype(np.int64)
