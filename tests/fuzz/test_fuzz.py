"""A short run of every fuzzing target, the same each time; `run.py` is the long one."""

import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from targets import TARGETS, attempt

EXAMPLES = {"eps-lists": 100, "specs": 500}
OTHERWISE = 200


# Up to three seconds each: a hundred of the inputs take about one.
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_ends_in_an_answer_or_its_own_error(name: str) -> None:
    target, taken = TARGETS[name], [0, 0]

    @settings(
        max_examples=EXAMPLES.get(name, OTHERWISE),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs())
    def one(tried: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            taken[attempt(target, tried)] += 1

    one()
    refused, read = taken
    assert refused > 0
    assert read > 0
