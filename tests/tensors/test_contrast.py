"""The contrastive losses against slow transcriptions of their definitions, value and gradient."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Generator, Tensor

from robench.tensors.contrast import info_nce, instance_spreading, nt_xent

Complex = npt.NDArray[np.complex128]
Loss = Callable[[Tensor, Tensor, float], Tensor]
GRID = list(product((2, 3), (1, 2, 4), (2, 5), (0.1, 0.5, 2.0)))  # views, N, D, temperature


def slow(anchors: Complex, keys: Complex, views: int, temperature: float) -> complex:
    """Each anchor against each positive, with everything but the anchor in the denominator.

    Equation 1 of SimCLR for two views; for three, RoCL's sum over six directed pairs by 3N
    (src/loss.py:61-84). Analytic in both arguments, so that a complex step differentiates it.
    """
    total = len(anchors)
    images = total // views
    loss = 0j
    for i in range(total):
        denominator = 0j
        for k in range(total):
            if k != i:
                denominator += np.exp(cosine(anchors[i], keys[k]) / temperature)
        for j in range(total):
            if j != i and j % images == i % images:
                loss -= np.log(np.exp(cosine(anchors[i], keys[j]) / temperature) / denominator)
    return loss / total


def cosine(a: Complex, b: Complex) -> complex:
    product, a_square, b_square = 0j, 0j, 0j
    for x, y in zip(a, b, strict=True):
        product += x * y
        a_square += x * x
        b_square += y * y
    return complex(product / np.sqrt(a_square) / np.sqrt(b_square))


def slow_gradient(
    points: npt.NDArray[np.float64], views: int, temperature: float, constant_keys: bool
) -> npt.NDArray[np.float64]:
    """By complex steps, which are exact to rounding; ``constant_keys`` moves the anchors alone."""
    gradient = np.zeros_like(points)
    for index in np.ndindex(*points.shape):
        moved = points.astype(np.complex128)
        moved[index] += 1e-30j
        keys = points.astype(np.complex128) if constant_keys else moved
        gradient[index] = slow(moved, keys, views, temperature).imag / 1e-30
    return gradient


def embeddings(views: int, images: int, width: int) -> Tensor:
    dice = Generator().manual_seed(views + 10 * images + 100 * width)
    return torch.randn(views * images, width, dtype=torch.float64, generator=dice)


@pytest.mark.parametrize(("views", "images", "width", "temperature"), GRID)
def test_value(views: int, images: int, width: int, temperature: float) -> None:
    points = embeddings(views, images, width)
    plain = points.numpy().astype(np.complex128)
    expected = slow(plain, plain, views, temperature).real
    for stop in (False, True):
        value = nt_xent(list(points.chunk(views)), temperature, stop_gradient=stop)
        assert value.dtype == torch.float64
        assert value.item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("stop", [False, True], ids=["both-sides", "anchor-only"])
@pytest.mark.parametrize(("views", "images", "width", "temperature"), GRID)
def test_gradient(views: int, images: int, width: int, temperature: float, stop: bool) -> None:
    points = embeddings(views, images, width)
    expected = slow_gradient(points.numpy(), views, temperature, stop)
    points.requires_grad_()
    nt_xent(list(points.chunk(views)), temperature, stop_gradient=stop).backward()
    assert points.grad is not None
    np.testing.assert_allclose(points.grad.numpy(), expected, rtol=1e-10, atol=1e-10)


def test_the_two_gradients_differ() -> None:
    points = embeddings(2, 4, 5).numpy()
    both, one = (slow_gradient(points, 2, 0.5, constant) for constant in (False, True))
    assert np.abs(both - one).max() > 1e-3


@pytest.mark.parametrize("images", [2, 256, 512])
def test_uniform_level(images: int) -> None:
    same = torch.ones(images, 8)
    two = nt_xent([same, same], 0.5).item()
    three = nt_xent([same, same, same], 0.5).item()
    assert two == pytest.approx(math.log(2 * images - 1), rel=1e-5)
    assert three == pytest.approx(2 * math.log(3 * images - 1), rel=1e-5)


def test_the_level_of_rocl_s_own_log() -> None:
    # RoCL's published log starts at 13.3 for 512 images in three views, under 2 ln 1535 = 14.67.
    same = torch.ones(512, 8)
    assert nt_xent([same, same, same], 0.5).item() == pytest.approx(14.67, abs=0.01)


def test_length_does_not_matter() -> None:
    first, second = embeddings(2, 4, 5).chunk(2)
    torch.testing.assert_close(nt_xent([first * 7, second / 9], 0.5), nt_xent([first, second], 0.5))


def test_aligned_pairs_far_from_the_others_cost_little() -> None:
    views = torch.eye(4)
    assert nt_xent([views, views], 0.05).item() < 1e-6
    assert nt_xent([views, views.roll(1, dims=0)], 0.05).item() > 10


@pytest.mark.parametrize("loss", [lambda a, b, t: nt_xent([a, b], t), info_nce, instance_spreading])
def test_half_precision_embeddings_are_compared_in_float32(loss: Loss) -> None:
    first, second = (part.bfloat16() for part in embeddings(2, 8, 5).chunk(2))
    expected = loss(first.float(), second.float(), 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(first, second, 0.1)
    assert value.dtype == torch.float32
    assert value.item() == expected.item()


# --- InfoNCE and instance spreading


def slow_info_nce(anchors: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Plain/main.py:69-83: rows are the first view, columns the second."""
    losses = []
    for i, anchor in enumerate(anchors):
        scores = [torch.dot(anchor, key) / anchor.norm() / key.norm() for key in keys]
        masses = [(score / temperature).exp() for score in scores]
        losses.append(-(masses[i] / torch.stack(masses).sum()).log())
    return torch.stack(losses).mean()


def slow_spreading(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """UEL/BatchAverage.py:30-71 with negM = 1."""
    points = [point / point.norm() for point in (*first, *second)]
    total, images = len(points), len(first)
    terms = []
    for i in range(total):
        masses = {
            k: (torch.dot(points[i], points[k].detach()) / temperature).exp()
            for k in range(total)
            if k != i
        }
        whole = sum(masses.values())
        for k, mass in masses.items():
            p = mass / whole
            terms.append(p.log() if k % images == i % images else (1 - p).log())
    return -torch.stack(terms).sum() / total


@pytest.mark.parametrize(
    ("loss", "slow"), [(info_nce, slow_info_nce), (instance_spreading, slow_spreading)]
)
@pytest.mark.parametrize("images", [2, 3, 5])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_value_and_both_gradients(loss: Loss, slow: Loss, images: int, temperature: float) -> None:
    views = [view.clone().requires_grad_() for view in embeddings(2, images, 4).chunk(2)]
    ours, expected = loss(*views, temperature), slow(*views, temperature)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    for one, other in zip(
        torch.autograd.grad(ours, views), torch.autograd.grad(expected, views), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_anchors_are_not_compared_with_each_other() -> None:
    keys = torch.eye(4, 8)
    near = keys.roll(1, dims=0) + keys  # each anchor is near another anchor, and near two keys
    assert info_nce(keys, keys, 0.1) < 1e-3
    assert info_nce(near, keys, 0.1) == pytest.approx(math.log(2), abs=1e-2)
    one, other = embeddings(2, 5, 4).chunk(2)
    assert abs(info_nce(one, other, 0.1) - info_nce(other, one, 0.1)) > 1e-2


@pytest.mark.parametrize("images", [2, 128])
def test_uniform_levels(images: int) -> None:
    same, others = torch.ones(images, 8), 2 * images - 1
    assert info_nce(same, same, 0.1).item() == pytest.approx(math.log(images), rel=1e-5)
    level = math.log(others) - (others - 1) * math.log1p(-1 / others)
    assert instance_spreading(same, same, 0.1).item() == pytest.approx(level, rel=1e-4)


def test_a_view_that_is_certain_costs_nothing_and_breaks_nothing() -> None:
    views = torch.eye(4).requires_grad_()
    loss = instance_spreading(views, views, 0.005)  # p(own) is 1 in float32
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert views.grad is not None
    assert views.grad.isfinite().all()
