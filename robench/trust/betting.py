"""Tests and intervals that stay valid however often one looks, and stops where one likes.

A bettor who wins only if a hypothesis is false can hold 1 / alpha of the first stake with a chance
of at most alpha, ever (Ville 1939). Here the hypothesis is the mean of values in [-1, 1], and the
bets are those of Waudby-Smith & Ramdas (2024, arXiv 2010.09686, section 4), spread over many sizes
as in Cover's universal portfolio. For a mean of 0 that is a test on discordant images alone.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from robench.trust.statistics import Interval

_BETS = np.cos(
    np.pi * (np.arange(64) + 0.5) / 64
)  # in (-1, 1): an arcsine law, Jeffreys' for coins
_MEANS = np.linspace(-1, 1, 4001)[1:-1]


def capital(counts: Mapping[float, int], mean: float = 0.0) -> float:
    """What the bets against a ``mean`` have made of 1, after so many of each value in [-1, 1].

    It is an e-value, valid at any time: at least 1 / alpha with a chance of at most alpha, ever,
    where every value has that mean whatever came before.
    """
    return float(np.exp(_log_capital(counts, np.array([mean]))[0]))


def interval(counts: Mapping[float, int], alpha: float) -> Interval:
    """The means that the bets have not refuted: with a chance of 1 - alpha the true one, ever."""
    kept = np.flatnonzero(_log_capital(counts, _MEANS) < -np.log(alpha))
    grid = np.concatenate([[-1.0], _MEANS, [1.0]])
    return Interval(float(grid[kept[0]]), float(grid[kept[-1] + 2]))  # rounded outwards


def _log_capital(
    counts: Mapping[float, int], means: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    # A bet may risk all that is held, and no more: 1 + bet * (value - mean) >= 0 for all values.
    most, least = 1 / (1 + means), -1 / (1 - means)
    bets = (most + least)[:, None] / 2 + (most - least)[:, None] / 2 * _BETS
    gains = sum(
        (times * np.log1p(bets * (value - means[:, None])) for value, times in counts.items()),
        np.zeros_like(bets),
    )
    return np.asarray(np.logaddexp.reduce(gains, axis=1) - np.log(len(_BETS)))
