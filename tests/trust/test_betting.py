"""Bets against a mean: exact sums over all paths, and what they come to for coins."""

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest

from robench.trust.betting import capital, interval


@pytest.mark.parametrize("mean", [0.0, 0.3, -0.6])
def test_its_expectation_is_1_under_the_mean(mean: float) -> None:
    """A fair game: over all paths of 8 values with that mean."""
    up = (1 + mean) / 2
    total = sum(
        comb(8, k) * up**k * (1 - up) ** (8 - k) * capital({1.0: k, -1.0: 8 - k}, mean)
        for k in range(9)
    )
    assert total == pytest.approx(1, rel=1e-12)


def test_images_on_which_both_are_alike_do_not_move_the_test() -> None:
    assert capital({1.0: 7, -1.0: 2, 0.0: 500}) == pytest.approx(capital({1.0: 7, -1.0: 2}))


def test_on_coins_it_is_the_mixture_with_jeffreys_prior() -> None:
    """2^n B(a + 1/2, b + 1/2) / B(1/2, 1/2), which 64 nodes integrate exactly to that degree."""
    for a, b in [(0, 0), (9, 0), (12, 5), (40, 23)]:
        exact = Fraction(2) ** (a + b)
        for i in range(a):
            exact *= Fraction(2 * i + 1, 2)
        for i in range(b):
            exact *= Fraction(2 * i + 1, 2)
        for i in range(a + b):
            exact /= i + 1
        assert capital({1.0: a, -1.0: b}) == pytest.approx(float(exact), rel=1e-9)


def test_few_paths_of_a_fair_coin_ever_reach_1_over_alpha() -> None:
    """By following all 2^14 paths."""
    worth = {(a, b): capital({1.0: a, -1.0: b}) for a in range(15) for b in range(15)}
    reached = 0
    for path in product((0, 1), repeat=14):
        ups = np.cumsum(path).tolist()
        reached += any(worth[up, n - up] >= 5 for n, up in enumerate(ups, 1))
    assert 0 < reached / 2**14 <= 0.2


def test_the_interval_excludes_0_just_where_the_bets_refute_it() -> None:
    for a in range(5, 30):
        counts = {1.0: a, -1.0: 5, 0.0: 60}
        low, high = interval(counts, 0.05)
        if abs(low) > 0.001:  # the grid's step
            assert (low > 0) == (capital(counts) >= 20)
        assert low <= (a - 5) / sum(counts.values()) <= high
