"""Intervals and tests against slow transcriptions of their definitions."""

import math

import numpy as np
import pytest

from robench.report.stats import mcnemar, mean_sd, wilson


def plain_wilson(correct, n):
    """Wilson (1927): the p with (correct / n - p)^2 = z^2 p (1 - p) / n, solved as a quadratic."""
    z, share = 1.959963984540054, correct / n
    a, b, c = 1 + z * z / n, -2 * share - z * z / n, share * share
    root = math.sqrt(max(b * b - 4 * a * c, 0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def plain_mcnemar(a, b):
    """Sum the chances of all splits of the differing images no likelier than this one."""
    only_a = sum(1 for x, y in zip(a, b, strict=True) if x and not y)
    only_b = sum(1 for x, y in zip(a, b, strict=True) if y and not x)
    n = only_a + only_b
    chances = [math.comb(n, k) / 2**n for k in range(n + 1)]
    return min(1.0, sum(c for c in chances if c <= chances[only_a] * (1 + 1e-9)))


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 500), (7, 20), (499, 500)])
def test_wilson_is_the_root_of_its_equation(correct, n):
    assert wilson(correct, n) == pytest.approx(plain_wilson(correct, n), abs=1e-9)


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError, match=f"{correct} of {n}"):
        wilson(correct, n)


@pytest.mark.parametrize("seed", range(6))
def test_mcnemar_is_the_sum_of_binomial_chances(seed):
    dice = np.random.default_rng(seed)
    a = dice.uniform(size=40) < 0.5
    b = np.where(dice.uniform(size=40) < 0.6, a, dice.uniform(size=40) < 0.2 + 0.1 * seed)
    assert mcnemar(a, b) == pytest.approx(plain_mcnemar(a, b))
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_of_the_same_outcomes_is_one():
    same = np.array([True, False, True])
    assert mcnemar(same, same) == 1.0


def test_mcnemar_refuses_other_images():
    with pytest.raises(ValueError, match="not the same images: 2 outcomes against 3"):
        mcnemar(np.array([True, False]), np.array([True, False, True]))


def test_spread_has_n_minus_one_below():
    assert mean_sd([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, math.sqrt(7 / 3)))
    assert mean_sd([5.0]) == (5.0, None)
