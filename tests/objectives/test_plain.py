"""SimCLR's loss and gradients, and its published numbers."""

import pytest
import transcription
from torch import Generator

from robench.objectives.plain import Plain


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_and_gradients(build, views, fixed, weights, agree, temperature):
    objective = fixed(build(Plain, temperature=temperature), views)
    oracle = weights(objective)
    loss = objective(views[0], Generator())
    agree(objective, loss, oracle, transcription.plain(oracle, *views, temperature))


def test_the_papers_numbers(build):
    objective = build(Plain)
    assert objective.temperature == 0.5
    assert [tuple(objective.projector[i].weight.shape) for i in (0, 2)] == [(5, 5), (128, 5)]
    assert objective.augment.jitter == (0.4, 0.4, 0.4, 0.1)
    assert objective.augment.crop_scale == (0.08, 1.0)


def test_a_temperature_of_zero_is_refused(build):
    with pytest.raises(ValueError, match="temperature=0 must be positive"):
        build(Plain, temperature=0)
