"""The instance-spreading loss against a loop over its definition, value and gradient."""

import math

import pytest
import torch
from torch import Generator, Tensor

from robench.tensors.spreading import instance_spreading


def embeddings(images: int, width: int) -> tuple[Tensor, Tensor]:
    dice = Generator().manual_seed(images + 10 * width)
    both = torch.randn(2, images, width, dtype=torch.float64, generator=dice)
    return both[0].requires_grad_(), both[1].requires_grad_()


def slow(first: Tensor, second: Tensor, temperature: float) -> Tensor:
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


@pytest.mark.parametrize("images", [2, 3, 5])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_value_and_gradient(images: int, temperature: float) -> None:
    views = embeddings(images, 4)
    ours, expected = instance_spreading(*views, temperature), slow(*views, temperature)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    for one, other in zip(
        torch.autograd.grad(ours, views), torch.autograd.grad(expected, views), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_constant_view_leaves_the_other_its_own_gradient() -> None:
    first, second = embeddings(4, 5)
    whole = torch.autograd.grad(instance_spreading(first, second, 0.2), second)
    alone = torch.autograd.grad(instance_spreading(first.detach(), second, 0.2), second)
    torch.testing.assert_close(whole, alone)


def test_the_order_of_the_views_does_not_matter() -> None:
    first, second = embeddings(4, 5)
    torch.testing.assert_close(
        instance_spreading(first, second, 0.2), instance_spreading(second, first, 0.2)
    )


@pytest.mark.parametrize("images", [2, 128])
def test_uniform_level(images: int) -> None:
    same, others = torch.ones(images, 8), 2 * images - 1
    level = math.log(others) - (others - 1) * math.log1p(-1 / others)
    assert instance_spreading(same, same, 0.1).item() == pytest.approx(level, rel=1e-4)


def test_a_view_that_is_certain_costs_nothing_and_breaks_nothing() -> None:
    views = torch.eye(4).requires_grad_()
    loss = instance_spreading(views, views, 0.005)  # p(own) is 1 in float32
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert views.grad is not None
    assert views.grad.isfinite().all()


def test_half_precision_embeddings_are_compared_in_float32() -> None:
    first, second = (part.detach().bfloat16() for part in embeddings(6, 4))
    expected = instance_spreading(first.float(), second.float(), 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = instance_spreading(first, second, 0.1)
    assert value.dtype == torch.float32
    assert value.item() == expected.item()
