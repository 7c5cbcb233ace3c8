"""The contrastive losses against slow transcriptions of their definitions, value and gradient."""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
import transcription
from torch import Generator, Tensor

from robench.tensors.contrast import info_nce, instance_spreading, nt_xent, unit_length

Loss = Callable[[Tensor, Tensor, float], Tensor]
GRID = list(product((2, 3), (1, 2, 4), (2, 5), (0.1, 0.5, 2.0)))  # views, N, D, temperature


def embeddings(views: int, images: int, width: int) -> list[Tensor]:
    dice = Generator().manual_seed(views + 10 * images + 100 * width)
    drawn = torch.randn(views * images, width, dtype=torch.float64, generator=dice)
    return [view.clone().requires_grad_() for view in drawn.chunk(views)]


def agree(ours: Tensor, slow: Tensor, views: list[Tensor]) -> None:
    torch.testing.assert_close(ours, slow, rtol=1e-10, atol=1e-10)
    gradients = (torch.autograd.grad(loss, views) for loss in (ours, slow))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("stop", [False, True], ids=["both-sides", "anchor-only"])
@pytest.mark.parametrize(("views", "images", "width", "temperature"), GRID)
def test_nt_xent(views: int, images: int, width: int, temperature: float, stop: bool) -> None:
    """Equation 1 of SimCLR for two views, RoCL's src/loss.py:61-84 for three."""
    points = embeddings(views, images, width)
    slow = transcription.nt_xent(points, temperature, constant_keys=stop)
    agree(nt_xent(points, temperature, stop_gradient=stop), slow, points)


@pytest.mark.parametrize(
    ("loss", "slow"),
    [
        (info_nce, transcription.one_direction),
        (instance_spreading, transcription.batch_criterion),
    ],
)
@pytest.mark.parametrize("images", [2, 3, 5])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_info_nce_and_spreading(loss: Loss, slow: Loss, images: int, temperature: float) -> None:
    views = embeddings(2, images, 4)
    agree(loss(*views, temperature), slow(*views, temperature), views)


@pytest.mark.parametrize("images", [2, 128, 512])
def test_uniform_levels(images: int) -> None:
    same, others = torch.ones(images, 8), 2 * images - 1
    assert nt_xent([same] * 2, 0.5).item() == pytest.approx(math.log(others), rel=1e-5)
    # RoCL's published log starts at 13.3 for 512 images in three views, under 2 ln 1535 = 14.67.
    three = 2 * math.log(3 * images - 1)
    assert nt_xent([same] * 3, 0.5).item() == pytest.approx(three, rel=1e-5)
    assert info_nce(same, same, 0.1).item() == pytest.approx(math.log(images), rel=1e-5)
    level = math.log(others) - (others - 1) * math.log1p(-1 / others)
    assert instance_spreading(same, same, 0.1).item() == pytest.approx(level, rel=1e-4)


@pytest.mark.parametrize("loss", [lambda a, b, t: nt_xent([a, b], t), info_nce, instance_spreading])
def test_half_precision_embeddings_are_compared_in_float32(loss: Loss) -> None:
    first, second = (part.bfloat16() for part in embeddings(2, 8, 5))
    expected = loss(first.float(), second.float(), 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(first, second, 0.1)
    assert value.dtype == torch.float32
    assert value.item() == expected.item()


@pytest.mark.parametrize("loss", [lambda a, b, t: nt_xent([a, b], t), info_nce, instance_spreading])
def test_the_size_of_embeddings_does_not_matter(loss: Loss) -> None:
    views = [view.float().detach() for view in embeddings(2, 8, 5)]

    def value_and_gradients(scale: float) -> tuple[Tensor, ...]:
        scaled = [(scale * view).requires_grad_() for view in views]
        value = loss(*scaled, 0.1)
        return value, *(scale * one for one in torch.autograd.grad(value, scaled))

    for power in range(-15, 16):
        for found, usual in zip(
            value_and_gradients(10.0**power), value_and_gradients(1.0), strict=True
        ):
            torch.testing.assert_close(found, usual, rtol=1e-4, atol=1e-5)


def test_everything_but_zero_gets_length_one() -> None:
    for scale in (1e-18, 1e-9, 1.0, 1e18):
        lengths = unit_length(scale * torch.tensor([[3.0, 4.0], [0.0, 0.0]])).norm(dim=1)
        assert lengths.tolist() == pytest.approx([1, 0], abs=1e-3)


def test_anchors_are_not_compared_with_each_other() -> None:
    keys = torch.eye(4, 8)
    near = keys.roll(1, dims=0) + keys  # each anchor is near another anchor, and near two keys
    assert info_nce(keys, keys, 0.1) < 1e-3
    assert info_nce(near, keys, 0.1) == pytest.approx(math.log(2), abs=1e-2)
    one, other = embeddings(2, 5, 4)
    assert abs(info_nce(one, other, 0.1) - info_nce(other, one, 0.1)) > 1e-2


def test_a_view_that_is_certain_costs_nothing_and_breaks_nothing() -> None:
    views = torch.eye(4).requires_grad_()
    loss = instance_spreading(views, views, 0.005)  # p(own) is 1 in float32
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert views.grad is not None
    assert views.grad.isfinite().all()
