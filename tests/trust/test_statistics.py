"""Statistics against their definitions, hand counts, every sign written out, and scipy."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import bootstrap as plain_bootstrap
from stored import planted

from robench.trust.statistics import (
    bootstrap,
    exact_mcnemar,
    holm,
    mean_sd,
    on_same_images,
    smallest_significant,
    wilson,
)


def answers(seed, shape):
    """Two methods' answers; each image is hard to a degree that both share."""
    generator = np.random.default_rng(seed)
    hard = generator.uniform(0.2, 0.9, size=shape[-1])
    return generator.uniform(size=shape) < hard, generator.uniform(size=shape) < hard - 0.1


def differences(a, b):
    return np.atleast_2d(a).sum(axis=0) - np.atleast_2d(b).sum(axis=0)


# --- one method


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


# --- interval of a difference


@pytest.mark.parametrize("seeds", [1, 3])
def test_on_many_images_the_interval_is_the_normal_one(seeds):
    d = differences(*answers(0, (seeds, 40_000)))
    low, high = bootstrap(d, np.random.default_rng(1))
    half = 1.959964 * d.std() / math.sqrt(len(d))
    assert low == pytest.approx(d.mean() - half, abs=0.05 * half)
    assert high == pytest.approx(d.mean() + half, abs=0.05 * half)


def test_the_interval_is_that_of_drawing_images():
    a, b = answers(2, (60,))
    interval = bootstrap(differences(a, b), np.random.default_rng(0))
    assert interval == bootstrap(differences(a, b), np.random.default_rng(0))
    drawn = plain_bootstrap(
        (a.astype(float), b.astype(float)),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        paired=True,
        method="percentile",
        n_resamples=9_999,
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert interval.low == pytest.approx(drawn.low, abs=1.01 / 60)
    assert interval.high == pytest.approx(drawn.high, abs=1.01 / 60)


def test_the_interval_covers_as_often_as_it_says():
    generator, covered = np.random.default_rng(5), 0
    for _ in range(300):
        d = generator.choice([-1, 0, 1], p=[0.1, 0.7, 0.2], size=200)
        low, high = bootstrap(d, generator)
        covered += low <= 0.1 <= high
    assert 0.90 <= covered / 300 <= 0.985


def test_equal_differences_leave_nothing_to_draw():
    assert bootstrap(np.full(9, 2), np.random.default_rng(0)) == (2.0, 2.0)
    with pytest.raises(ValueError, match="no images"):
        bootstrap(np.zeros(0, np.int64), np.random.default_rng(0))


# --- the same images


def test_images_are_matched_by_index():
    a = planted([1, 0, 1, 1], index=np.array([4, 7, 2, 9]))
    b = planted([1, 1, 0, 0], index=np.array([2, 9, 4, 3]))
    index, right = on_same_images([a, b])
    assert index.tolist() == [2, 4, 9]
    assert right.tolist() == [[True, True, True], [True, False, True]]


def test_an_index_of_other_data_or_with_two_labels_is_not_the_same_image():
    a, b = planted([1, 1, 0]), planted([1, 0, 0])
    relabelled = replace(b, outcome=replace(b.outcome, label=np.array([0, 1, 3])))
    assert on_same_images([a, b])[1].shape == (2, 3)
    for other in (relabelled, planted([1, 0, 0], data="other")):
        index, right = on_same_images([a, other])
        assert (index.size, right.shape) == (0, (2, 0))


def test_what_an_attack_makes_right_is_not_robust():
    repaired = planted([1, 1, 0], clean=[0, 1, 1])
    assert on_same_images([repaired])[1].tolist() == [[False, True, False]]
    assert repaired.correct == 1


# --- p


def plain_mcnemar(a, b):
    """Sum the chances of all splits of the differing images no likelier than this one."""
    only_a = sum(1 for x, y in zip(a, b, strict=True) if x and not y)
    only_b = sum(1 for x, y in zip(a, b, strict=True) if y and not x)
    n = only_a + only_b
    chances = [math.comb(n, k) / 2**n for k in range(n + 1)]
    return min(1.0, sum(c for c in chances if c <= chances[only_a] * (1 + 1e-9)))


@pytest.mark.parametrize("sizes", [[1] * 9, [1] * 3 + [2] * 6, [3] * 40, [1] * 5, [2], []])
@pytest.mark.parametrize("level", [0.05, 0.05 / 3])
def test_the_smallest_significant_sum_is_that_of_the_first_signs_that_the_test_rejects(
    sizes, level
):
    signs = (np.where(np.arange(len(sizes)) < minus, -1, 1) for minus in range(len(sizes) + 1))
    several = [np.array(sizes, np.int64) * one for one in signs]
    if len(sizes) < 10:  # every sum that signs can make
        several = [
            np.array(sizes, np.int64) * one for one in itertools.product((1, -1), repeat=len(sizes))
        ]
    sums = [d.sum() for d in several if d.sum() > 0 and exact_mcnemar(d) <= level]
    images = next(n for n in range(1, 20) if exact_mcnemar(np.ones(n, np.int64)) <= level)
    found = smallest_significant(np.array(sizes, np.int64), level)
    assert found == min(sums, default=images)


@pytest.mark.parametrize("seed", range(5))
def test_with_one_seed_the_test_is_mcnemar_s(seed):
    a, b = answers(seed, (300,))
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = exact_mcnemar(differences(a, b))
    assert p == pytest.approx(binomtest(only_a, only_a + only_b, 0.5).pvalue, rel=1e-9)
    assert p == pytest.approx(plain_mcnemar(a, b), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_with_several_seeds_every_swap_of_images_counts(seed):
    d = differences(*answers(seed, (3, 12)))
    signs = itertools.product((-1, 1), repeat=len(d))
    sums = [abs(sum(s * x for s, x in zip(swap, d.tolist(), strict=True))) for swap in signs]
    expected = sum(total >= abs(d.sum()) for total in sums) / len(sums)
    assert exact_mcnemar(d) == pytest.approx(expected)


def test_repeated_seeds_are_no_more_evidence():
    a, b = answers(6, (200,))
    once = exact_mcnemar(differences(a, b))
    assert exact_mcnemar(differences([a] * 4, [b] * 4)) == pytest.approx(once)
    pooled = plain_mcnemar(np.tile(a, 4), np.tile(b, 4))
    assert pooled < once / 2  # what counting every answer as an image would claim


def test_no_difference_has_p_one():
    assert exact_mcnemar(np.zeros(5, np.int64)) == 1.0
    assert exact_mcnemar(np.array([1, -1])) == 1.0


def test_on_ten_thousand_images_p_is_exact_far_out():
    d = np.repeat([1, -1, 0], [900, 500, 8_600])
    assert exact_mcnemar(d) == pytest.approx(binomtest(900, 1_400, 0.5).pvalue, rel=1e-9)


# --- Holm


def test_holm_by_hand():
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 = 0.06, 0.04 * 1 -> at least the one before.
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([0.005, 0.9, 0.6]) == pytest.approx([0.015, 1.0, 1.0])
    assert holm([0.03]) == [0.03]
    assert holm([]) == []
    assert holm([0.02, 0.5, 0.02]) == pytest.approx([0.06, 0.5, 0.06])
