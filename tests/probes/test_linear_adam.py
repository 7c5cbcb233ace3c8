"""CLAE's linear evaluation: Adam written out, on whole batches, to the last epoch."""

import dataclasses

import numpy as np
import pytest
import torch
from batches import RUN, probe_data
from torch import Generator
from torch.nn.functional import cross_entropy

from robench.contracts import Data, Encoder, ProbeData
from robench.probes.linear_adam import LinearAdam
from robench.tensors.features import extract, to_images


def test_the_authors_defaults() -> None:
    # SimCLR/eval_lr.py:14-16 and 205.
    probe = LinearAdam()
    assert (probe.lr, probe.epochs, probe.batch) == (3e-4, 1000, 256)


@pytest.mark.parametrize("batch", [50, 256])  # 121 images: 21 of them left out, and all in one
def test_it_is_adam_written_out(encoder: Encoder, data: Data, batch: int) -> None:
    probe = LinearAdam(lr=3e-3, epochs=7, batch=batch)
    dice, same = (Generator().manual_seed(3) for _ in range(2))
    layer = probe.fit(encoder, probe_data(data), dice, RUN)
    images = np.concatenate([data.train.images, data.held_out.images])
    labels = torch.tensor(np.concatenate([data.train.labels, data.held_out.labels]))
    inputs = extract(encoder, [to_images(images, "cpu")])
    bound = encoder.width**-0.5
    weights = torch.empty(3, encoder.width).uniform_(-bound, bound, generator=same)
    bias = torch.empty(3).uniform_(-bound, bound, generator=same)
    both = torch.cat([weights, bias[:, None]], 1).double().requires_grad_()
    mean, square, step = torch.zeros_like(both), torch.zeros_like(both), 0
    for _ in range(7):
        order = torch.randperm(121, generator=same)
        for rows in order[:100].split(50) if batch == 50 else [order]:
            loss = cross_entropy(inputs[rows].double() @ both[:, :-1].T + both[:, -1], labels[rows])
            (gradient,) = torch.autograd.grad(loss, both)
            step += 1
            with torch.no_grad():
                mean = 0.9 * mean + 0.1 * gradient
                square = 0.999 * square + 0.001 * gradient**2
                size = (square / (1 - 0.999**step)).sqrt() + 1e-8
                both -= 3e-3 * mean / (1 - 0.9**step) / size
    assert step == (14 if batch == 50 else 7)
    torch.testing.assert_close(layer.weight, both[:, :-1].detach().float(), rtol=0, atol=1e-5)
    torch.testing.assert_close(layer.bias, both[:, -1].detach().float(), rtol=0, atol=1e-5)


def test_the_held_out_part_is_trained_on(encoder: Encoder, data: Data) -> None:
    turned = dataclasses.replace(data.held_out, labels=(data.held_out.labels + 1) % 3)
    layers = [
        LinearAdam(epochs=2).fit(
            encoder, ProbeData(data.train, part, 3), Generator().manual_seed(0), RUN
        )
        for part in (data.held_out, turned)
    ]
    assert not torch.equal(layers[0].weight, layers[1].weight)


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"epochs": 0}, {"batch": -1}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}={wrong[name]}"):
        LinearAdam(**wrong)
