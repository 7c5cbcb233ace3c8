"""Measures of features against loops in float64, scikit-learn, and cases with a known answer."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from robench.metrics import _representation as measures
from robench.metrics._retrieval import retrieval

X = np.random.default_rng(0).normal(size=(40, 6))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def test_alignment_and_uniformity_are_their_formulas(rng: np.random.Generator) -> None:
    y = rng.normal(size=(40, 6))
    unit = [[row / math.sqrt(sum(v * v for v in row)) for row in part] for part in (X, y)]
    gaps = [
        sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) for a, b in zip(*unit, strict=True)
    ]
    assert measures.alignment(X, y) == pytest.approx(sum(gaps) / 40, rel=1e-12)
    pairs = [
        math.exp(-2 * sum((p - q) ** 2 for p, q in zip(unit[0][i], unit[0][j], strict=True)))
        for i in range(40)
        for j in range(i)
    ]
    assert measures.uniformity(X) == pytest.approx(math.log(sum(pairs) / len(pairs)), rel=1e-9)
    assert measures.uniformity(np.ones((5, 3))) == pytest.approx(0, abs=1e-9)


def test_rank_me_counts_directions_of_equal_weight() -> None:
    for rank in (1, 3, 6):
        features = np.tile(np.eye(6)[:rank], (4, 1))
        assert measures.rank_me(features) == pytest.approx(rank, rel=1e-4)


def test_the_intrinsic_dimension_is_that_of_the_surface(rng: np.random.Generator) -> None:
    for dimension in (2, 4):
        flat = rng.normal(size=(2000, dimension + 1)) @ rng.normal(size=(dimension + 1, 20))
        # A cone over a sphere of that dimension, seen at unit length.
        assert measures.intrinsic_dimension(flat) == pytest.approx(dimension, rel=0.1)
    assert math.isnan(measures.intrinsic_dimension(np.ones((9, 3))))


def test_the_intrinsic_dimension_is_a_loop_over_two_neighbours() -> None:
    unit = X / np.linalg.norm(X, axis=1)[:, None]
    total = 0.0
    for i, row in enumerate(unit):
        near = sorted(math.dist(row, other) for j, other in enumerate(unit) if j != i)
        total += math.log(near[1] / near[0])
    assert measures.intrinsic_dimension(X) == pytest.approx(40 / total, rel=1e-9)


def test_cluster_learnability_of_balls_noise_and_nothing(rng: np.random.Generator) -> None:
    def learnable(features: np.ndarray) -> float:
        return measures.cluster_learnability(features, np.random.default_rng(1))

    balls = np.repeat(np.eye(20), 20, 0) + 0.01 * rng.normal(size=(400, 20))  # 20 = sqrt(400)
    assert learnable(balls) == 1
    assert learnable(np.ones((100, 4))) == 1  # hence never alone
    assert learnable(rng.normal(size=(400, 512))) < 0.5
    assert learnable(balls) == learnable(balls)


def test_k_means_finds_planted_clusters(rng: np.random.Generator) -> None:
    x = np.repeat(np.eye(5), 30, 0) + 0.02 * rng.normal(size=(150, 5))
    found = measures.k_means(x, 5, np.random.default_rng(2)).reshape(5, 30)
    assert (found == found[:, :1]).all()
    assert len(set(found[:, 0].tolist())) == 5


@pytest.mark.parametrize(("classes", "expected"), [(10, 0.100), (100, 0.0103)])
def test_a_random_ranking_is_chance_and_so_are_constant_features(
    rng: np.random.Generator, classes: int, expected: float
) -> None:
    n = 3000 if classes == 10 else 10_000
    labels = np.arange(n) % classes
    some = rng.choice(n, 300, replace=False)
    features = rng.normal(size=(n, 64))
    # 300 queries are moved to the front; all images are looked up.
    order = np.concatenate([some, np.setdiff1d(np.arange(n), some)])
    features, labels = features[order], labels[order]
    found = retrieval(features[:300], features, labels, np.random.default_rng(3))
    assert found.mean_ap == pytest.approx(expected, abs=0.003 if classes == 10 else 0.0007)
    ones = retrieval(np.ones((300, 4)), np.ones((n, 4)), np.sort(labels), np.random.default_rng(3))
    assert ones.mean_ap == pytest.approx(expected, abs=0.01)


def test_classes_apart_are_found_and_a_moved_query_loses(rng: np.random.Generator) -> None:
    labels = np.arange(60) % 6
    x = np.eye(6)[labels] + 0.01 * rng.normal(size=(60, 6))
    assert retrieval(x, x, labels, np.random.default_rng(0)) == pytest.approx((1, 1, 1, 1, 9 / 10))
    away = np.roll(np.eye(6), 1, axis=1)[labels]
    assert retrieval(away, x, labels, np.random.default_rng(0)).p_10 < 0.2


def test_measures_are_loops_over_ranks_and_steps_are_scikit_learn_s(
    rng: np.random.Generator,
) -> None:
    labels, others = np.array([0, 1, 2] * 30), rng.normal(size=(90, 5))
    found = retrieval(others, others, labels, np.random.default_rng(0))
    unit = others / np.linalg.norm(others, axis=1)[:, None]
    trapezoids, steps = [], []
    for i in range(90):
        ranked = sorted((j for j in range(90) if j != i), key=lambda j: -unit[i] @ unit[j])
        hits, area = 0, 0.0
        for rank, j in enumerate(ranked):
            if labels[j] == labels[i]:
                before = 1.0 if rank == 0 else hits / rank
                hits += 1
                area += (before + hits / (rank + 1)) / 2
        trapezoids.append(area / hits)
        relevant = [labels[j] == labels[i] for j in ranked]
        steps.append(average_precision_score(relevant, [-r for r in range(89)]))
    assert found.mean_ap == pytest.approx(np.mean(trapezoids), rel=1e-9)
    assert found.mean_ap_100 == pytest.approx(np.mean(steps), rel=1e-9)
