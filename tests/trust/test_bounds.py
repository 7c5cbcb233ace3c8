"""Intervals for a sample without replacement, against enumeration of every sample."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from stored import planted

from robench.trust.bounds import accuracy_bound, sampled_without_replacement, valid_at_any_time


def chance(total: int, among: int, sample: int, found: int) -> Fraction:
    """Of so many ``found`` in a sample, by counting samples."""
    if not 0 <= found <= among or not 0 <= sample - found <= total - among:
        return Fraction(0)
    ways = comb(among, found) * comb(total - among, sample - found)
    return Fraction(ways, comb(total, sample))


@pytest.mark.parametrize(("total", "sample"), [(12, 5), (20, 8), (30, 30), (7, 1)])
def test_every_true_number_is_covered_at_the_level(total: int, sample: int) -> None:
    for among in range(total + 1):
        covered = Fraction(0)
        for found in range(sample + 1):
            p = chance(total, among, sample, found)
            if p:
                low, high = sampled_without_replacement(total, sample, found)
                covered += p * (low <= among <= high)
        assert covered >= Fraction(95, 100)


def test_the_limits_are_the_exact_ones() -> None:
    total, sample, found = 20, 8, 2
    low, high = sampled_without_replacement(total, sample, found)
    for among in range(total + 1):
        few = sum((chance(total, among, sample, k) for k in range(found + 1)), Fraction(0))
        many = sum((chance(total, among, sample, k) for k in range(found, sample + 1)), Fraction(0))
        assert (low <= among <= high) == (min(few, many) >= Fraction(25, 1000))


def test_a_whole_sample_leaves_no_doubt_and_the_issue_s_case_is_half_a_point() -> None:
    assert sampled_without_replacement(40, 40, 3) == (3, 3)
    assert valid_at_any_time(40, 40, 3) == (3, 3)
    low, high = sampled_without_replacement(4700, 500, 10)
    assert (high - low) / 2 / 10_000 == pytest.approx(0.006, abs=1e-4)


def test_all_looks_together_are_covered_at_the_level() -> None:
    """Exactly, by following every path of a growing sample of 12 images."""
    total = 12
    for among in range(total + 1):
        paths = {0: Fraction(1)}  # found so far, on paths that never missed
        for sample in range(1, total + 1):
            after: dict[int, Fraction] = {}
            for found, p in paths.items():
                left = Fraction(among - found, total - sample + 1)
                for more, q in ((found + 1, left), (found, 1 - left)):
                    if q:
                        low, high = valid_at_any_time(total, sample, more)
                        if low <= among <= high:
                            after[more] = after.get(more, Fraction(0)) + p * q
            paths = after
        assert sum(paths.values()) >= Fraction(95, 100)


def test_the_bound_of_an_outcome_counts_what_was_tried_and_what_fell() -> None:
    result = planted([False] * 3 + [True] * 7, n=10)
    outcome = result.outcome
    outcome.fooled_by[:] = [0, 4, 1, -1, -1, -1, -2, -2, -2, -2]  # 4 tried, 1 fell
    low, high = sampled_without_replacement(8, 4, 1)
    assert accuracy_bound(outcome) == ((8 - high) / 10, (8 - low) / 10)
    outcome.fooled_by[:] = np.where(outcome.fooled_by == -2, -1, outcome.fooled_by)
    assert accuracy_bound(outcome) is None
