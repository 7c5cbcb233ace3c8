"""LARS against a trajectory computed by hand, and the schedule against its formula."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from robench.tensors.optim import LARS, clipped_groups, optimizer, stepwise, warmup_cosine

Array = npt.NDArray[np.float64]

LR, MOMENTUM, DECAY = 0.7, 0.9, 0.05


def torchlars_step(weights: Array, gradient: Array, velocity: Array) -> tuple[Array, Array]:
    """One step of SGD in torchlars' wrapper (torchlars 0.1.2: lars.py, adaptive_lr.cc)."""
    weight_norm, gradient_norm = math.sqrt((weights**2).sum()), math.sqrt((gradient**2).sum())
    adaptive = 1.0
    if weight_norm > 0 and gradient_norm > 0:
        adaptive = 0.001 * weight_norm / (gradient_norm + DECAY * weight_norm + 1e-8)
    change = (gradient + DECAY * weights) * adaptive
    velocity = MOMENTUM * velocity + change
    return weights - LR * velocity, velocity


MATRIX = [[1.0, -2.0], [0.5, 3.0]]
CASES = {
    "matrix": (MATRIX, [[[0.1, 0.2], [0.3, -0.4]], [[5.0, 0.0], [0.0, 1.0]], [[1e-9, 0], [0, 0]]]),
    "bias": ([0.3, -0.1], [[1.0, 1.0], [-2.0, 0.5], [0.1, 0.1]]),
    "zero-weights": ([0.0, 0.0], [[1.0, -1.0], [0.5, 0.5], [0.2, 0.0]]),
    "zero-gradient": ([1.0, 2.0], [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]),
    "both-zero": ([0.0, 0.0], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]),
}


@pytest.mark.parametrize("case", CASES)
def test_lars_follows_torchlars(case: str) -> None:
    start, gradients = CASES[case]
    weights = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    descent = LARS([weights], LR, MOMENTUM, DECAY)
    expected, velocity = np.array(start), np.zeros_like(np.array(start))
    for gradient in gradients:
        weights.grad = torch.tensor(gradient, dtype=torch.float64)
        descent.step()
        expected, velocity = torchlars_step(expected, np.array(gradient), velocity)
        np.testing.assert_allclose(weights.detach().numpy(), expected, rtol=1e-12, atol=1e-15)


def test_lars_leaves_parameters_without_gradient_and_gradients_alone() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    descent = LARS([used, unused], lr=1.0, weight_decay=0.1)
    used.grad = torch.ones(2)
    descent.step()
    assert torch.equal(unused, torch.ones(2))
    assert not torch.equal(used, torch.ones(2))
    assert torch.equal(used.grad, torch.ones(2))


def test_lars_obeys_a_changed_learning_rate() -> None:
    weights = nn.Parameter(torch.ones(2))
    descent = LARS([weights], lr=1.0)
    descent.param_groups[0]["lr"] = 0.0
    weights.grad = torch.ones(2)
    descent.step()
    assert torch.equal(weights, torch.ones(2))


def test_optimizers_by_name() -> None:
    weights = [nn.Parameter(torch.ones(1))]
    for name, kind in {"sgd": SGD, "adam": Adam, "lars": LARS}.items():
        made = optimizer(name, weights, lr=0.25, momentum=0.8, weight_decay=0.125)
        assert type(made) is kind
        assert made.param_groups[0]["lr"] == 0.25
        assert made.param_groups[0]["weight_decay"] == 0.125
        if name != "adam":
            assert made.param_groups[0]["momentum"] == 0.8
    with pytest.raises(ValueError, match="no optimizer 'adamw'; choose sgd, adam or lars"):
        optimizer("adamw", weights, lr=1, momentum=0, weight_decay=0)


@pytest.mark.parametrize(
    ("warmup", "end", "start", "hold", "shares"),
    [
        (10, 50, 0.25, 0, {0: 0.25, 5: 0.625, 10: 1, 20: 0.5 + 0.5**1.5, 30: 0.5, 50: 0}),
        (0, 100, 0, 0, {0: 1, 50: 0.5}),  # without a warm-up
        (10, 10, 0, 0, {9: 0.9, 10: 1}),  # up to the very end
        (10, 54, 0, 4, {9: 0.9, 10: 1, 13: 1, 14: 1, 34: 0.5, 54: 0}),
    ],
)
def test_warmup_cosine(
    warmup: int, end: int, start: float, hold: int, shares: dict[int, float]
) -> None:
    found = {time: warmup_cosine(time, warmup, end, start, hold) for time in shares}
    assert found == pytest.approx(shares, abs=1e-12)


@pytest.mark.parametrize(
    ("epoch", "share"), [(0, 1), (2, 1), (3, 0.5), (4, 0.5), (5, 0.25), (99, 0.25)]
)
def test_stepwise(epoch: int, share: float) -> None:
    assert stepwise(epoch, [(3, 0.5), (5, 0.25)]) == share
    assert stepwise(epoch, []) == 1


def solo_step(weights: Array, gradient: Array, velocity: Array | None, lr: float, decay: float):
    """One step of solo-learn's LARS for a matrix: solo/utils/lars.py:135-167 at 9187ea3."""
    weight_norm, gradient_norm = math.sqrt((weights**2).sum()), math.sqrt((gradient**2).sum())
    if weight_norm and gradient_norm:
        rate = 0.02 * weight_norm / (gradient_norm + weight_norm * decay + 1e-8)
        gradient = (gradient + decay * weights) * min(rate / lr, 1)
    velocity = gradient if velocity is None else MOMENTUM * velocity + gradient
    return weights - lr * velocity, velocity


@pytest.mark.parametrize("lr", [0.01, 0.7])
def test_clipped_groups_follow_solo_learn(lr: float) -> None:
    layer = nn.Linear(2, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(MATRIX))
    descent = LARS(clipped_groups(layer), lr, MOMENTUM, DECAY)
    matrix, bias = np.array(MATRIX), layer.bias.detach().numpy().copy()
    moved, drift = None, np.zeros(2)
    for gradient in CASES["matrix"][1]:
        layer.weight.grad = torch.tensor(gradient, dtype=torch.float64)
        layer.bias.grad = torch.tensor([0.5, -2.0], dtype=torch.float64)
        descent.step()
        matrix, moved = solo_step(matrix, np.array(gradient), moved, lr, DECAY)
        drift = MOMENTUM * drift + np.array([0.5, -2.0])
        bias = bias - lr * drift
        np.testing.assert_allclose(layer.weight.detach().numpy(), matrix, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(layer.bias.detach().numpy(), bias, rtol=1e-12, atol=1e-15)


def test_at_a_learning_rate_of_zero_clipped_groups_stay() -> None:
    layer = nn.Linear(2, 2)
    descent = LARS(clipped_groups(layer), lr=0.0)
    before = layer.weight.detach().clone()
    layer(torch.ones(1, 2)).sum().backward()
    descent.step()
    assert torch.equal(layer.weight, before)
