"""The balls against slow transcriptions of what they claim to compute, in float64."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from robench.tensors.balls import L1, L2, Ball, Linf, ball

BALLS = [Linf(0.1), L2(0.5), L1(2.0), L1(2.0, sparsity=0.2)]
each_ball = pytest.mark.parametrize("within", BALLS, ids=str)


def images(seed: int, count: int = 6) -> Tensor:
    dice = Generator().manual_seed(seed)
    return torch.rand(count, 3, 4, 4, generator=dice, dtype=torch.float64)


def changes(seed: int, scale: float, count: int = 6) -> Tensor:
    dice = Generator().manual_seed(seed)
    return scale * torch.randn(count, 3, 4, 4, generator=dice, dtype=torch.float64)


def onto_linf(change: np.ndarray, eps: float) -> np.ndarray:
    return np.array([max(-eps, min(eps, value)) for value in change])


def onto_l2(change: np.ndarray, eps: float) -> np.ndarray:
    length = sum(value**2 for value in change) ** 0.5
    return change if length <= eps else change * (eps / length)


def onto_l1(change: np.ndarray, eps: float) -> np.ndarray:
    """Soft thresholding; the threshold is found by halving an interval until it is a number."""
    if np.abs(change).sum() <= eps:
        return change
    low, high = 0.0, np.abs(change).max()
    for _ in range(200):
        middle = (low + high) / 2
        left = sum(max(0.0, abs(value) - middle) for value in change)
        low, high = (middle, high) if left > eps else (low, middle)
    return np.array([np.sign(value) * max(0.0, abs(value) - high) for value in change])


ORACLES = {Linf: onto_linf, L2: onto_l2, L1: onto_l1}


@each_ball
def test_samples_change_pixels_up_and_down_alike(within: Ball) -> None:
    centre = torch.full((200, 3, 4, 4), 0.5, dtype=torch.float64)
    up = (within.sample(centre, Generator().manual_seed(0)) > centre).double().mean()
    assert abs(up - 0.5) < 0.03  # six standard deviations


@each_ball
@pytest.mark.parametrize("scale", [1e-3, 0.05, 1.0, 30.0])
def test_projection_is_the_nearest_change_then_the_pixel_range(within: Ball, scale: float) -> None:
    centre, change = images(1), changes(2, scale)
    projected = within.project(centre + change, centre)
    for row in range(len(centre)):
        slow = ORACLES[type(within)](change[row].numpy().ravel(), within.eps)
        expected = np.clip(centre[row].numpy().ravel() + slow, 0, 1)
        np.testing.assert_allclose(projected[row].numpy().ravel(), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_l1_projection_handles_ties_and_sparse_changes(seed: int) -> None:
    change = changes(seed, 1.0)
    change = (2 * change).round() * (change.abs() > 0.7)
    centre = torch.full_like(change, 0.5)
    projected = L1(0.4).project(centre + change, centre) - centre
    for row in range(len(centre)):
        slow = onto_l1(change[row].numpy().ravel(), 0.4)
        np.testing.assert_allclose(projected[row].numpy().ravel(), slow, atol=1e-12)


@each_ball
def test_projection_keeps_what_is_inside(within: Ball) -> None:
    centre = images(3)
    inside = within.sample(centre, Generator().manual_seed(4))
    torch.testing.assert_close(within.project(inside, centre), inside, rtol=0, atol=1e-15)


@each_ball
def test_samples_stay_inside_and_reach_out(within: Ball) -> None:
    centre = torch.full((500, 3, 4, 4), 0.5, dtype=torch.float64)
    sample = within.sample(centre, Generator().manual_seed(6))
    size = within.size(sample, centre)
    assert size.max() <= within.eps + 1e-12
    assert size.max() > 0.95 * within.eps
    assert sample.min() >= 0
    assert sample.max() <= 1
    assert (sample - centre).mean().abs() < 0.05 * within.eps


@each_ball
def test_samples_stay_in_the_pixel_range_at_its_edges(within: Ball) -> None:
    centre = images(7).round()
    sample = within.sample(centre, Generator().manual_seed(8))
    assert sample.min() >= 0
    assert sample.max() <= 1
    assert within.size(sample, centre).max() <= within.eps + 1e-12


def test_linf_may_leave_the_pixel_range() -> None:
    centre = images(7).round()
    free = Linf(0.1, pixels=(-float("inf"), float("inf")))
    torch.testing.assert_close(free.project(centre - 1, centre), centre - 0.1, rtol=0, atol=1e-15)
    sample = free.sample(centre, Generator().manual_seed(8))
    assert sample.min() < 0 < 1 < sample.max()
    assert free.size(sample, centre).max() <= 0.1 + 1e-12


@each_ball
def test_samples_come_from_the_generator_alone(within: Ball) -> None:
    centre = images(9)
    first = within.sample(centre, Generator().manual_seed(10))
    torch.manual_seed(0)
    assert torch.equal(within.sample(centre, Generator().manual_seed(10)), first)
    assert not torch.equal(within.sample(centre, Generator().manual_seed(11)), first)


@pytest.mark.parametrize(
    ("unit", "dual"),
    # Hölder: over the unit ball, <gradient, d> is at most the gradient's dual norm.
    [(Linf(1.0), 1), (L2(1.0), 2), (L1(1.0, sparsity=0.0), float("inf"))],
    ids=["linf", "l2", "l1 along one pixel"],
)
def test_steepest_maximises_the_linear_gain_over_the_unit_ball(unit: Ball, dual: float) -> None:
    gradient = changes(12, 1.0)
    direction = unit.steepest(gradient)
    length = unit.size(direction, torch.zeros_like(direction))
    torch.testing.assert_close(length, torch.ones_like(length), rtol=0, atol=1e-9)
    gain = (gradient * direction).flatten(1).sum(1)
    bound = torch.tensor([np.linalg.norm(row.ravel(), dual) for row in gradient.numpy()])
    torch.testing.assert_close(gain, bound, rtol=1e-9, atol=0)


def test_l1_steepest_moves_the_steepest_share_of_the_pixels_alike() -> None:
    gradient = changes(13, 1.0, count=1)
    direction = L1(1.0, sparsity=0.25).steepest(gradient).flatten()
    moved = direction.nonzero().flatten()
    steepest = np.argsort(-np.abs(gradient.numpy().ravel()))[:12]  # a quarter of 3 x 4 x 4
    assert set(moved.tolist()) == set(steepest.tolist())
    torch.testing.assert_close(direction[moved], gradient.flatten()[moved].sign() / 12)


@each_ball
def test_no_gradient_is_no_direction(within: Ball) -> None:
    flat = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    assert torch.equal(within.steepest(flat), flat)


@pytest.mark.parametrize(("norm", "order"), [("linf", float("inf")), ("l2", 2), ("l1", 1)])
def test_size_is_the_norm_of_the_change(norm: str, order: float) -> None:
    centre, change = images(16), changes(17, 1.0)
    within = ball(norm, 0.5)
    assert within.eps == 0.5
    size = within.size(centre + change, centre)
    expected = [np.linalg.norm(row.ravel(), order) for row in change.numpy()]
    np.testing.assert_allclose(size.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("norm", "eps", "words"),
    [
        ("linfty", 0.1, "norm=linfty is unknown; choose linf, l2, l1"),
        ("l2", 0.0, "eps=0.0 should be a positive number"),
        ("l1", -1.0, "eps=-1.0 should be a positive number"),
        ("linf", float("nan"), "eps=nan should be a positive number"),
        ("l2", float("inf"), "eps=inf should be a positive number"),
        ("linf", 8.0, "eps=8.0 is over 1, the whole pixel range"),
    ],
)
def test_a_ball_nobody_can_mean_is_refused_in_one_line(norm: str, eps: float, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        ball(norm, eps)
    assert "\n" not in str(refused.value)
