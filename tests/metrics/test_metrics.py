"""Every metric on a handful of images that can be counted by eye."""

import dataclasses
import math

import numpy as np
import pytest

from robench.catalog.catalog import Catalog
from robench.contracts import Outcome

NAMES = Catalog().names("metrics")
each_metric = pytest.mark.parametrize("name", NAMES)


def outcome(label, clean, attacked, size):
    n = len(label)
    return Outcome(
        index=np.arange(n, dtype=np.int64),
        label=np.array(label, dtype=np.int64),
        clean_prediction=np.array(clean, dtype=np.int64),
        prediction=np.array(attacked, dtype=np.int64),
        size=np.array(size, dtype=np.float32),
        clean_confidence=np.full(n, 0.5, np.float32),
        confidence=np.full(n, 0.5, np.float32),
        fooled_by=np.full(n, -1),
    )


FIVE = outcome([0, 1, 2, 3, 4], [0, 1, 2, 3, 9], [0, 9, 9, 3, 4], [0.0, 0.25, 0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 2 / 5),  # the last one is wrong at first, and repaired
        ("clean-accuracy", 4 / 5),
        ("attack-success", 2 / 4),
        ("mean-size", 0.25),
        ("ece", abs(3 / 5 - 0.5)),
    ],
)
def test_value(name, value):
    assert Catalog().component("metrics", name)(FIVE) == pytest.approx(value)


@each_metric
def test_it_is_a_number_that_does_not_depend_on_the_order_and_leaves_the_outcome(name):
    metric, kept = Catalog().component("metrics", name), dataclasses.astuple(FIVE)
    turned = Outcome(*(getattr(FIVE, field.name)[::-1] for field in dataclasses.fields(FIVE)))
    assert metric(turned) == pytest.approx(metric(FIVE), rel=1e-12)
    assert type(metric(FIVE)) is float
    assert all(map(np.array_equal, kept, dataclasses.astuple(FIVE)))


@each_metric
def test_no_images_give_no_number_and_no_warning(name):
    assert math.isnan(Catalog().component("metrics", name)(outcome([], [], [], [])))


def test_an_attack_on_nothing_correct_has_no_success_rate():
    assert math.isnan(
        Catalog().component("metrics", "attack-success")(outcome([1], [0], [0], [0.0]))
    )


def test_calibration_is_the_mean_gap_of_the_bins_as_a_loop_counts_it():
    rng = np.random.default_rng(0)
    n = 400
    one = outcome(rng.integers(0, 3, n), np.zeros(n), rng.integers(0, 3, n), np.zeros(n))
    one.confidence[:] = rng.random(n)
    gap = 0.0
    for low in range(15):
        inside = (one.confidence > low / 15) & (one.confidence <= (low + 1) / 15)
        if inside.any():
            right = (one.prediction == one.label)[inside].mean()
            gap += inside.mean() * abs(right - one.confidence[inside].astype(float).mean())
    assert Catalog().component("metrics", "ece")(one) == pytest.approx(gap, rel=1e-9)
    one.confidence[3] = np.nan
    assert math.isnan(Catalog().component("metrics", "ece")(one))
