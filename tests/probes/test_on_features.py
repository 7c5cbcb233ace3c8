"""linear-sgd and linear-adam: the authors' steps written out, on features that are made once."""

import dataclasses

import pytest
import torch
from batches import RUN, both_parts, probe_data
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from robench.contracts import Data, Encoder
from robench.probes._on_features import OnFeatures
from robench.probes.linear_adam import LinearAdam
from robench.probes.linear_sgd import LinearSGD
from robench.tensors.features import extract


def problem(encoder: Encoder, data: Data, dice: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The features and labels of both parts, and the layer [3, D + 1] before the first step."""
    images, labels = both_parts(data)
    bound = encoder.width**-0.5
    weights = torch.empty(3, encoder.width).uniform_(-bound, bound, generator=dice)
    bias = torch.empty(3).uniform_(-bound, bound, generator=dice)
    both = torch.cat([weights, bias[:, None]], 1).double().requires_grad_()
    return extract(encoder, [images]).double(), labels, both


def learning_rate(epoch: int) -> float:
    """In the epoch counted from 0: `adjust_lr` runs after it (src/linear_eval.py:256-268, 308)."""
    done = epoch - 1
    return 0.1 * 0.1 ** sum(done >= milestone for milestone in (30, 50, 100))


@pytest.mark.parametrize("epochs", [33, 150])
def test_sgd_written_out(encoder: Encoder, data: Data, epochs: int) -> None:
    dice, same = (Generator().manual_seed(3) for _ in range(2))
    layer = LinearSGD(epochs=epochs, batch=50).fit(encoder, probe_data(data), dice, RUN)
    inputs, labels, both = problem(encoder, data, same)
    velocity = torch.zeros_like(both)
    for epoch in range(epochs):
        for rows in torch.randperm(len(inputs), generator=same).split(50):
            loss = cross_entropy(inputs[rows] @ both[:, :-1].T + both[:, -1], labels[rows])
            (gradient,) = torch.autograd.grad(loss, both)
            with torch.no_grad():
                velocity = 0.9 * velocity + gradient + 5e-4 * both
                both -= learning_rate(epoch) * velocity
    torch.testing.assert_close(layer.weight, both[:, :-1].detach().float(), rtol=0, atol=1e-4)
    torch.testing.assert_close(layer.bias, both[:, -1].detach().float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("batch", [50, 256])  # 121 images: 21 of them omitted, and all in one
def test_adam_written_out(encoder: Encoder, data: Data, batch: int) -> None:
    dice, same = (Generator().manual_seed(3) for _ in range(2))
    layer = LinearAdam(lr=3e-3, epochs=7, batch=batch).fit(encoder, probe_data(data), dice, RUN)
    inputs, labels, both = problem(encoder, data, same)
    mean, square, step = torch.zeros_like(both), torch.zeros_like(both), 0
    for _ in range(7):
        order = torch.randperm(121, generator=same)
        for rows in order[:100].split(50) if batch == 50 else [order]:
            loss = cross_entropy(inputs[rows] @ both[:, :-1].T + both[:, -1], labels[rows])
            (gradient,) = torch.autograd.grad(loss, both)
            step += 1
            with torch.no_grad():
                mean = 0.9 * mean + 0.1 * gradient
                square = 0.999 * square + 0.001 * gradient**2
                size = (square / (1 - 0.999**step)).sqrt() + 1e-8
                both -= 3e-3 * mean / (1 - 0.9**step) / size
    torch.testing.assert_close(layer.weight, both[:, :-1].detach().float(), rtol=0, atol=1e-5)
    torch.testing.assert_close(layer.bias, both[:, -1].detach().float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("probe", [LinearSGD(epochs=2), LinearAdam(epochs=2)], ids=str)
def test_the_generator_and_the_held_out_part_matter(
    encoder: Encoder, data: Data, probe: OnFeatures
) -> None:
    turned = dataclasses.replace(data.held_out, labels=(data.held_out.labels + 1) % 3)
    other = dataclasses.replace(data, held_out=turned)
    first, *others = (
        probe.fit(encoder, probe_data(one), Generator().manual_seed(seed), RUN).weight
        for one, seed in ((data, 0), (data, 1), (other, 0))
    )
    assert not any(torch.equal(first, weight) for weight in others)
