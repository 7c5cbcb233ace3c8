"""Wrong labels for probes: how many, which, and that no noise is the ordinary probe."""

from math import sqrt

import numpy as np
import pytest

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.contracts import Data, ProbeError, Split
from robench.engine.noise import mislabelled
from robench.grid.questions import key
from robench.grid.spec import SpecError, parse

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
N = 50_000


def data(classes: tuple[str, ...] = CIFAR10) -> Data:
    labels = np.arange(N) % len(classes)
    images = np.zeros((N, 3, 1, 1), np.uint8)
    cut = 9 * N // 10
    parts = Split(images[:cut], labels[:cut]), Split(images[cut:], labels[cut:])
    return Data(*parts, Split(images[:100], labels[:100]), classes)


def flips(noise: str) -> tuple[np.ndarray, int]:
    """How often each class became each other, and the number of wrong labels."""
    before, (after, wrong) = data(), mislabelled(data(), parse(noise))
    matrix = np.zeros((10, 10), int)
    for one in ("train", "held_out"):
        np.add.at(matrix, (getattr(before, one).labels, getattr(after, one).labels), 1)
    assert np.array_equal(after.test.labels, before.test.labels)
    return matrix, wrong


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.8, 1.0])
@pytest.mark.parametrize("way", ["sym", "sym-ex"])
def test_each_class_becomes_each_other_within_three_deviations(way: str, rate: float) -> None:
    matrix, wrong = flips(f"{way}(rate={rate})")
    p = rate / (10 if way == "sym" else 9)
    others = matrix[~np.eye(10, dtype=bool)]
    sd = sqrt(N / 10 * p * (1 - p))
    assert (np.abs(others - N / 10 * p) < 4 * sd).all()  # 90 cells: one in three would be at 3
    assert np.mean(np.abs(others - N / 10 * p) < 3 * sd) > 0.97
    assert wrong == others.sum()
    flipped = rate * 0.9 if way == "sym" else rate
    assert wrong / N == pytest.approx(flipped, abs=3 * sqrt(0.25 / N))


def test_asymmetric_noise_confuses_alike_classes_alone() -> None:
    matrix, wrong = flips("asym(rate=0.4)")
    pairs = {(9, 1), (2, 0), (4, 7), (3, 5), (5, 3)}
    away = {(a, b) for a, b in zip(*np.nonzero(matrix), strict=True) if a != b}
    assert away == pairs
    for pair in pairs:
        assert matrix[pair] == pytest.approx(2000, abs=3 * sqrt(5000 * 0.24))
    assert wrong == sum(matrix[pair] for pair in pairs)
    with pytest.raises(ProbeError, match="asym is known for CIFAR-10's classes only"):
        mislabelled(data(("red", "green")), parse("asym(rate=0.4)"))


def test_a_lower_rate_relabels_some_of_the_same_images_alike() -> None:
    low, high = (mislabelled(data(), parse(f"sym(rate={r})"))[0] for r in (0.2, 0.6))
    before = data().train.labels
    moved = low.train.labels != before
    assert np.array_equal(low.train.labels[moved], high.train.labels[moved])


def test_a_rate_of_0_is_the_ordinary_question() -> None:
    catalog = Catalog()
    ordinary = plan(Request(methods="plain", sources="shapes10"), catalog)
    assert plan(Request(methods="plain", sources="shapes10", noises="sym:0"), catalog) == ordinary
    both = plan(Request(methods="plain", sources="shapes10", noises="sym:0,asym:2/5"), catalog)
    assert len(both) == 2 * len(ordinary)
    noisy = [one for one in both if one.probing.noise is not None]
    assert {str(one.probing.noise) for one in noisy} == {"asym(rate=0.4)"}
    assert {catalog.labels(one).probe for one in noisy} == {"linear labels=asym(rate=0.4)"}
    assert {key(one) for one in ordinary} < {key(one) for one in both}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("symm:0.4", "no noise 'symm'; did you mean sym"),
        ("sym:1.4", r"rate should be in \[0, 1\]"),
        ("sym", "such as sym:0.4"),
    ],
)
def test_what_is_no_noise_is_refused(typed: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Request(noises=typed)


def test_probes_may_be_fitted_on_a_few_labels_alone() -> None:
    (one, *_) = plan(Request(methods="plain", probe_images=50), Catalog())
    assert one.probing.images == 50
    assert one.probing.pretraining.recipe.images != 50
