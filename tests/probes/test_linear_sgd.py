"""RoCL's linear evaluation: the schedule of the authors' code, followed step by step."""

import numpy as np
import pytest
import torch
from batches import RUN, probe_data
from torch import Generator
from torch.nn.functional import cross_entropy

from robench.contracts import Data, Encoder
from robench.probes.linear_sgd import LinearSGD
from robench.tensors.features import extract, to_images


def learning_rate(epoch: int) -> float:
    """In the epoch counted from 0: `adjust_lr` runs after it (src/linear_eval.py:256-268, 308)."""
    done = epoch - 1
    return 0.1 * 0.1 ** sum(done >= milestone for milestone in (30, 50, 100))


def test_the_authors_defaults() -> None:
    probe = LinearSGD()
    assert (probe.lr, probe.epochs, probe.batch) == (0.1, 150, 1024)
    assert (probe.momentum, probe.weight_decay) == (0.9, 5e-4)


def test_the_learning_rate_falls_after_epochs_30_50_and_100() -> None:
    assert [learning_rate(epoch) for epoch in (0, 30)] == [0.1, 0.1]
    rates = [learning_rate(epoch) for epoch in (31, 50, 51, 100, 101, 149)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001])


@pytest.mark.parametrize("epochs", [31, 33, 55, 150])
def test_it_is_sgd_written_out(encoder: Encoder, data: Data, epochs: int) -> None:
    probe = LinearSGD(epochs=epochs, batch=50)
    dice, same = (Generator().manual_seed(3) for _ in range(2))
    layer = probe.fit(encoder, probe_data(data), dice, RUN)
    images = np.concatenate([data.train.images, data.held_out.images])
    labels = torch.tensor(np.concatenate([data.train.labels, data.held_out.labels]))
    inputs = extract(encoder, [to_images(images, "cpu")])
    bound = encoder.width**-0.5
    weights = torch.empty(3, encoder.width).uniform_(-bound, bound, generator=same)
    bias = torch.empty(3).uniform_(-bound, bound, generator=same)
    both = torch.cat([weights, bias[:, None]], 1).requires_grad_()
    velocity = torch.zeros_like(both)
    for epoch in range(epochs):
        order = torch.randperm(len(inputs), generator=same)
        for rows in order.split(50):
            loss = cross_entropy(inputs[rows] @ both[:, :-1].T + both[:, -1], labels[rows])
            (gradient,) = torch.autograd.grad(loss, both)
            with torch.no_grad():
                velocity = 0.9 * velocity + gradient + 5e-4 * both
                both -= learning_rate(epoch) * velocity
    torch.testing.assert_close(layer.weight, both[:, :-1].detach(), rtol=0, atol=1e-4)
    torch.testing.assert_close(layer.bias, both[:, -1].detach(), rtol=0, atol=1e-4)


def test_the_dice_matter(encoder: Encoder, data: Data) -> None:
    layers = [
        LinearSGD(epochs=2).fit(encoder, probe_data(data), Generator().manual_seed(seed), RUN)
        for seed in (0, 1)
    ]
    assert not torch.equal(layers[0].weight, layers[1].weight)


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"epochs": 0}, {"batch": -1}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}={wrong[name]}"):
        LinearSGD(**wrong)
