"""How sure a number is: an interval for one accuracy, a test for two, the spread over seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest


class Interval(NamedTuple):
    """Two limits, as fractions."""

    low: float
    high: float


def wilson(correct: int, n: int) -> Interval:
    """The 95% interval of Wilson (1927) for ``correct`` of ``n`` images.

    Raises ValueError unless 0 <= correct <= n and n > 0.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} of {n} images correct: no accuracy can be computed from that")
    interval = binomtest(correct, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def mcnemar(a_correct: npt.NDArray[np.bool_], b_correct: npt.NDArray[np.bool_]) -> float:
    """The two-sided p-value of McNemar's exact test: are a and b right equally often?

    Both arrays are [n], image by image. Under the null hypothesis each image on which the two
    differ is a fair coin (McNemar 1947). Without such an image p is 1.

    Raises ValueError where the lengths differ.
    """
    if a_correct.shape != b_correct.shape:
        raise ValueError(f"not the same images: {len(a_correct)} outcomes against {len(b_correct)}")
    only_a = int((a_correct & ~b_correct).sum())
    only_b = int((b_correct & ~a_correct).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the standard deviation with n - 1 below (None for a single value)."""
    mean = float(np.mean(values))
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else None
