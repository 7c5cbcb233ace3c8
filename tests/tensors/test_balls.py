"""The balls against slow transcriptions of what they claim to compute, in float64."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from robench.tensors.ascend import ascend
from robench.tensors.balls import L1, L2, Ball, Linf, ball

BALLS = [Linf(0.1), L2(0.5), L1(2.0), L1(8.0)]
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


def onto_l1(change: np.ndarray, eps: float, centre: np.ndarray) -> np.ndarray:
    """Soft thresholding within the pixel range; the threshold is found by halving an interval."""
    room = np.where(change > 0, 1 - centre, centre)

    def left(threshold: float) -> np.ndarray:
        return np.array(
            [min(max(0.0, abs(c) - threshold), r) for c, r in zip(change, room, strict=True)]
        )

    low, high = 0.0, 0.0 if left(0.0).sum() <= eps else np.abs(change).max()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle).sum() > eps else (low, middle)
    return np.sign(change) * left(high)


@each_ball
def test_samples_change_pixels_up_and_down_alike(within: Ball) -> None:
    centre = torch.full((200, 3, 4, 4), 0.5, dtype=torch.float64)
    up = (within.sample(centre, Generator().manual_seed(0)) > centre).double().mean()
    assert abs(up - 0.5) < 0.03  # six standard deviations


@each_ball
@pytest.mark.parametrize("scale", [1e-3, 0.05, 1.0, 30.0])
@pytest.mark.parametrize("corner", [False, True])
def test_projection_is_the_nearest_change_in_the_pixel_range(
    within: Ball, scale: float, corner: bool
) -> None:
    centre, change = images(1), changes(2, scale)
    centre = centre.round() if corner else centre
    projected = within.project(centre + change, centre)
    for row in range(len(centre)):
        x, moved = centre[row].numpy().ravel(), change[row].numpy().ravel()
        if isinstance(within, L1):
            slow = onto_l1(moved, within.eps, x)
        else:  # the pixel range afterwards: the nearest in linf, near it in l2
            slow = (onto_linf if isinstance(within, Linf) else onto_l2)(moved, within.eps)
        expected = np.clip(x + slow, 0, 1)
        np.testing.assert_allclose(projected[row].numpy().ravel(), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_l1_projection_handles_ties_and_sparse_changes(seed: int) -> None:
    change = changes(seed, 1.0)
    change = (2 * change).round() * (change.abs() > 0.7)
    centre = torch.full_like(change, 0.5)
    for eps in (0.4, 3.0, 1000.0):
        projected = L1(eps).project(centre + change, centre) - centre
        for row in range(len(centre)):
            slow = onto_l1(change[row].numpy().ravel(), eps, centre[row].numpy().ravel())
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
    [(Linf(1.0), 1), (L2(1.0), 2), (L1(1.0, stride=1.0), float("inf"))],
    ids=["linf", "l2", "l1 along one pixel"],
)
@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-14, 1.0, 1e30])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_step_maximises_the_linear_gain_whatever_the_scale_of_the_gradient(
    unit: Ball, dual: float, scale: float, kind: torch.dtype
) -> None:
    gradient, rounding = changes(12, 1.0), 1e-3 if kind == torch.float32 else 1e-9
    start = (gradient < 0).to(gradient)  # where each pixel can move by 1
    step = unit.step(start.to(kind), (scale * gradient).to(kind), 1.0) - start
    length = unit.size(step, torch.zeros_like(step))
    torch.testing.assert_close(length, torch.ones_like(length), rtol=0, atol=1e-6)
    gain = (gradient * step).flatten(1).sum(1)
    bound = torch.tensor([np.linalg.norm(row.ravel(), dual) for row in gradient.numpy()])
    torch.testing.assert_close(gain, bound, rtol=rounding, atol=0)


def test_a_step_in_l1_moves_the_steepest_pixels_that_can_move() -> None:
    gradient = torch.tensor([5.0, 4.0, -3.0, -2.0, 1.0, 0.0]).view(1, 1, 2, 3)
    start = torch.tensor([1.0, 0.94, 0.5, 0.5, 0.5, 0.5]).view(1, 1, 2, 3)
    step = L1(4.0, stride=0.1).step(start, gradient, 0.2) - start
    # The first two reach the edge of their range and spend 0 and 0.06; the fourth takes the rest.
    expected = torch.tensor([0.1, 0.1, -0.1, -0.04, 0.0, 0.0]).view(1, 1, 2, 3)
    torch.testing.assert_close(step, expected, rtol=0, atol=1e-6)


@each_ball
def test_only_a_gradient_of_zero_is_no_direction(within: Ball) -> None:
    centre = images(14, 2).float()
    gradient = torch.zeros_like(centre)
    assert torch.equal(within.step(centre, gradient, 0.1), centre)
    gradient[1, 0, 0, 0] = 1e-44 if centre[1, 0, 0, 0] < 0.5 else -1e-44
    moved = (within.step(centre, gradient, 0.1) - centre).abs().flatten(1).sum(1)
    torch.testing.assert_close(moved, torch.tensor([0.0, 0.1]), rtol=0, atol=1e-6)


def optimum(gradient: Tensor, centre: Tensor, norm: str, eps: float) -> Tensor:
    """The most that a linear function can gain within ball and pixel range, [B]."""
    slope = gradient.abs().flatten(1)
    room = torch.where(gradient > 0, 1 - centre, centre).flatten(1)
    if norm == "linf":
        return (slope * room.clamp(max=eps)).sum(1)
    if norm == "l1":  # the steepest pixels first, each to the edge of its range
        slope, order = slope.sort(dim=1, descending=True)
        room = room.gather(1, order)
        return (slope * torch.minimum(room, (eps - room.cumsum(1) + room).clamp(min=0))).sum(1)
    low, high = torch.zeros(len(slope), 1).double(), torch.full((len(slope), 1), 1e6).double()
    for _ in range(100):  # as far along the gradient as the pixel range allows
        middle = (low + high) / 2
        outside = torch.minimum(middle * slope, room).norm(dim=1, keepdim=True) > eps
        low, high = torch.where(outside, low, middle), torch.where(outside, middle, high)
    return (slope * torch.minimum(low * slope, room)).sum(1)


def share(norm: str, eps: float, size: int, corner: bool) -> float:
    """The least share of the optimum that 20 steps of a tenth reach on 10 images."""
    generator = Generator().manual_seed(0)
    centre = torch.rand(10, 3, size, size, generator=generator)
    centre = centre.round() if corner else centre
    gradient = torch.randn(10, 3, size, size, generator=generator)
    top = ascend(
        lambda x: (x * gradient).sum(), centre, ball(norm, eps), steps=20, step_size=eps / 10
    )
    assert ball(norm, eps).size(top.double(), centre.double()).max() <= eps + 1e-6 * max(1, eps)
    gain = ((top - centre).double() * gradient).flatten(1).sum(1)
    return float((gain / optimum(gradient.double(), centre.double(), norm, eps)).min())


SHARES = {"linf": (1 / 255, 8 / 255, 0.25, 0.5), "l2": (0.1, 0.5, 2.0), "l1": (0.5, 1, 4, 12, 50)}


@pytest.mark.parametrize("corner", [False, True])
@pytest.mark.parametrize("size", [8, 16, 32, 64])
@pytest.mark.parametrize(
    ("norm", "eps"), [(n, eps) for n, radii in SHARES.items() for eps in radii]
)
def test_the_ascent_reaches_the_optimum_of_a_linear_loss(
    norm: str, eps: float, size: int, corner: bool
) -> None:
    assert share(norm, eps, size, corner) > {"linf": 0.9999, "l2": 0.99, "l1": 0.98}[norm]


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
