"""The promises of a metric."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from robench.contracts import Outcome
from robench.engine.faults import ContractError

Measure = Callable[[Outcome], Any]


def _outcome(count: int = 40) -> Outcome:
    """Images of four classes: most right when clean, half of them when attacked."""
    rng, index = np.random.default_rng(0), np.arange(count)
    label = index % 4
    return Outcome(
        index=index,
        label=label,
        clean_prediction=np.where(index % 8 == 7, (label + 1) % 4, label),
        prediction=np.where(index % 2 == 1, (label + 1) % 4, label),
        size=rng.uniform(0, 8 / 255, count).astype(np.float32),
        clean_confidence=rng.uniform(0.5, 1, count).astype(np.float32),
        confidence=rng.uniform(0.3, 1, count).astype(np.float32),
        fooled_by=np.full(count, -1),
    )


def _broken(metric: Measure, what: str) -> ContractError:
    code = inspect.unwrap(metric).__code__
    return ContractError(f"{code.co_name} {what} ({code.co_filename}:{code.co_firstlineno})")


def _number(metric: Measure, outcome: Outcome, of: str) -> float:
    found = metric(outcome)
    if isinstance(found, bool) or not isinstance(found, int | float | np.number):
        raise _broken(metric, f"returned {type(found).__name__} for {of}; expected a number")
    return float(found)


def number(metric: Measure) -> None:
    """It returns a finite number for images of which some are fooled."""
    found = _number(metric, _outcome(), "40 images")
    if not np.isfinite(found):
        raise _broken(metric, f"returned {found} for 40 images, half of them fooled")


def leaves(metric: Measure) -> None:
    """It leaves the outcome as it is."""
    outcome = _outcome()
    before = copy.deepcopy(outcome)
    metric(outcome)
    for name, column in vars(before).items():
        if not np.array_equal(column, getattr(outcome, name)):
            raise _broken(metric, f"writes into outcome.{name}; it should work on a copy")


def edges(metric: Measure) -> None:
    """It returns a number, maybe nan, for one image, for none fooled, and without confidences."""
    outcome = _outcome()
    nan = np.full(len(outcome.label), np.nan, np.float32)
    _number(metric, _outcome(1), "one image")
    right = replace(outcome, prediction=outcome.label, clean_prediction=outcome.label)
    _number(metric, right, "images that are all right")
    _number(
        metric,
        replace(outcome, size=nan, clean_confidence=nan, confidence=nan),
        "sizes and confidences of nan",
    )


def order(metric: Measure) -> None:
    """The order of the images does not matter."""
    outcome = _outcome()
    turned = Outcome(**{name: column[::-1].copy() for name, column in vars(outcome).items()})
    first, second = (_number(metric, one, "40 images") for one in (outcome, turned))
    if not np.isclose(first, second, equal_nan=True):
        raise _broken(
            metric, f"returned {first:g}, and {second:g} for the same images turned round"
        )


PROMISES = number, leaves, edges, order
