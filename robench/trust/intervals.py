"""How sure a number is: an interval for one accuracy, the spread over seeds."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np


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
