"""Every metric on a handful of images that can be counted by eye."""

import math

import numpy as np
import pytest

from robench.contracts import Outcome
from robench.metrics.accuracy import accuracy
from robench.metrics.attack_success import attack_success
from robench.metrics.clean_accuracy import clean_accuracy
from robench.metrics.mean_size import mean_size

METRICS = [accuracy, attack_success, clean_accuracy, mean_size]


def outcome(label, clean, attacked, size):
    n = len(label)
    return Outcome(
        index=np.arange(n, dtype=np.int64),
        label=np.array(label, dtype=np.int64),
        clean_prediction=np.array(clean, dtype=np.int64),
        prediction=np.array(attacked, dtype=np.int64),
        size=np.array(size, dtype=np.float32),
        clean_confidence=np.full(len(size), 0.5, np.float32),
        confidence=np.full(len(size), 0.5, np.float32),
        fooled_by=np.full(len(size), -1),
    )


FIVE = outcome([0, 1, 2, 3, 4], [0, 1, 2, 3, 9], [0, 9, 9, 3, 4], [0.0, 0.25, 0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("metric", "value"),
    [(accuracy, 3 / 5), (clean_accuracy, 4 / 5), (attack_success, 2 / 4), (mean_size, 0.25)],
)
def test_value(metric, value):
    assert metric(FIVE) == pytest.approx(value)
    assert isinstance(metric(FIVE), float)


@pytest.mark.parametrize("metric", METRICS)
def test_no_images_give_nan(metric):
    assert math.isnan(metric(outcome([], [], [], [])))


def test_an_attack_on_nothing_correct_has_no_success_rate():
    assert math.isnan(attack_success(outcome([1], [0], [0], [0.0])))
