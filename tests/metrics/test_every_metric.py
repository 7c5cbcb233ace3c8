"""What each file in robench/metrics promises; a new file is under test without an edit here."""

import dataclasses
import math

import numpy as np
import pytest

from robench.catalog.catalog import Catalog
from robench.contracts import Outcome

NAMES = Catalog().names("metrics")
each_metric = pytest.mark.parametrize("name", NAMES)


def outcome(count: int) -> Outcome:
    rng = np.random.default_rng(count)
    label, clean, attacked = (rng.integers(0, 3, count) for _ in range(3))
    size, sure, after = (rng.uniform(0.2, 0.9, count).astype(np.float32) for _ in range(3))
    return Outcome(np.arange(count), label, clean, attacked, size, sure, after, np.full(count, -1))


def test_the_folder_holds_the_accuracies() -> None:
    assert {"accuracy", "clean-accuracy"} <= set(NAMES)


@each_metric
@pytest.mark.parametrize("count", [1, 2, 50])
def test_it_is_a_number(name: str, count: int) -> None:
    value = Catalog().metric(name)(outcome(count))
    assert type(value) is float
    assert math.isnan(value) or value >= 0


@each_metric
def test_the_order_of_the_images_does_not_matter(name: str) -> None:
    one = outcome(40)
    turned = Outcome(*(getattr(one, field.name)[::-1] for field in dataclasses.fields(one)))
    metric = Catalog().metric(name)
    assert metric(turned) == pytest.approx(metric(one), rel=1e-12)


@each_metric
def test_it_leaves_the_outcome(name: str) -> None:
    given, kept = outcome(40), outcome(40)
    Catalog().metric(name)(given)
    for field in dataclasses.fields(Outcome):
        assert np.array_equal(getattr(given, field.name), getattr(kept, field.name))


@each_metric
def test_no_images_give_no_number_and_no_warning(name: str) -> None:
    assert math.isnan(Catalog().metric(name)(outcome(0)))


@each_metric
def test_it_says_what_it_is(name: str) -> None:
    assert Catalog().summary("metrics", name).endswith(".")
