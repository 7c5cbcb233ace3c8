"""The accuracy under an attack that was tried on a random sample of the images only."""

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from robench.contracts import Outcome
from robench.trust.statistics import Interval

UNTRIED = -2  # in ``fooled_by``
_WHOLE = (-1, 1, 2, 3)  # in ``fooled_by``: the whole AutoAttack was tried


def accuracy_bound(outcome: Outcome) -> Interval | None:
    """The 95% interval of the accuracy that the attack would have left of these images.

    None where it was tried on all, so that the accuracy is known.
    """
    untried = int((outcome.right & (outcome.fooled_by == UNTRIED)).sum())
    if untried == 0:
        return None
    clean = outcome.clean_prediction == outcome.label
    tried = clean & np.isin(outcome.fooled_by, _WHOLE)
    fallen = int((tried & ~outcome.right).sum())
    total = untried + int(tried.sum())
    low, high = sampled_without_replacement(total, int(tried.sum()), fallen)
    n = len(outcome.label)
    return Interval((total - high) / n, (total - low) / n)


def sampled_without_replacement(
    total: int, sample: int, found: int, level: float = 0.95
) -> tuple[int, int]:
    """How many of ``total`` there may be, where a random ``sample`` of them held ``found``.

    The exact interval: every number under which neither as few nor as many would be less likely
    than half of what the level leaves (hypergeometric; Clopper & Pearson 1934 for a finite set).
    """
    from scipy.stats import hypergeom  # takes half a second to import

    tail, numbers = (1 - level) / 2, range(found, total - (sample - found) + 1)
    few = bisect_left(
        numbers, True, key=lambda k: hypergeom.sf(found - 1, total, k, sample) >= tail
    )
    many = bisect_left(numbers, True, key=lambda k: hypergeom.cdf(found, total, k, sample) < tail)
    return numbers[few], numbers[many - 1]


def valid_at_any_time(total: int, sample: int, found: int, level: float = 0.95) -> tuple[int, int]:
    """The same for a sample that is looked at while it grows, and stopped at will.

    The prior-posterior-ratio of Waudby-Smith & Ramdas (2020, arXiv 2006.04347, section 2) with
    Jeffreys' prior: at ``level``, the number is within all of the intervals at once.
    """
    numbers = np.arange(found, total - (sample - found) + 1)
    prior = _beta_binomial(total, numbers, 0.5, 0.5)
    left = sample - found
    posterior = _beta_binomial(total - sample, numbers - found, found + 0.5, left + 0.5)
    kept = numbers[prior - posterior < -np.log(1 - level)]
    return int(kept[0]), int(kept[-1])


def _beta_binomial(n: int, k: npt.NDArray[np.int64], a: float, b: float) -> npt.NDArray[np.float64]:
    """The logarithm of the chance of ``k`` out of ``n``."""
    from scipy.special import betaln, gammaln

    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.asarray(ways + betaln(k + a, n - k + b) - betaln(a, b))
