"""Intervals against slow transcriptions of their definitions."""

import math

import pytest

from robench.trust.statistics import mean_sd, wilson


def plain_wilson(correct, n):
    """Wilson (1927): the p with (correct / n - p)^2 = z^2 p (1 - p) / n, solved as a quadratic."""
    z, share = 1.959963984540054, correct / n
    a, b, c = 1 + z * z / n, -2 * share - z * z / n, share * share
    root = math.sqrt(max(b * b - 4 * a * c, 0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 500), (7, 20), (499, 500)])
def test_wilson_is_the_root_of_its_equation(correct, n):
    assert wilson(correct, n) == pytest.approx(plain_wilson(correct, n), abs=1e-9)


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError, match=f"{correct} of {n}"):
        wilson(correct, n)


def test_spread_has_n_minus_one_below():
    assert mean_sd([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, math.sqrt(7 / 3)))
    assert mean_sd([5.0]) == (5.0, None)
