"""InfoNCE in one direction, against a loop over its definition, value and gradient."""

import math

import pytest
import torch
from torch import Generator, Tensor

from robench.tensors.info_nce import info_nce


def embeddings(images: int, width: int) -> tuple[Tensor, Tensor]:
    dice = Generator().manual_seed(images + 10 * width)
    both = torch.randn(2, images, width, dtype=torch.float64, generator=dice)
    return both[0].requires_grad_(), both[1].requires_grad_()


def slow(anchors: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Plain/main.py:69-83: rows are the first view, columns the second."""
    losses = []
    for i, anchor in enumerate(anchors):
        scores = [torch.dot(anchor, key) / anchor.norm() / key.norm() for key in keys]
        masses = [(score / temperature).exp() for score in scores]
        losses.append(-(masses[i] / torch.stack(masses).sum()).log())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_value_and_both_gradients(images: int, temperature: float) -> None:
    anchors, keys = embeddings(images, 4)
    ours, expected = info_nce(anchors, keys, temperature), slow(anchors, keys, temperature)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    for one, other in zip(
        torch.autograd.grad(ours, [anchors, keys]),
        torch.autograd.grad(expected, [anchors, keys]),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_the_two_directions_differ() -> None:
    anchors, keys = embeddings(5, 4)
    assert abs(info_nce(anchors, keys, 0.1) - info_nce(keys, anchors, 0.1)) > 1e-2


def test_anchors_are_not_compared_with_each_other() -> None:
    keys = torch.eye(4, 8)
    alone = info_nce(keys, keys, 0.1)
    near = keys.roll(1, dims=0) + keys  # each anchor is near another anchor, and near two keys
    assert alone < 1e-3
    assert info_nce(near, keys, 0.1) == pytest.approx(math.log(2), abs=1e-2)


@pytest.mark.parametrize("images", [2, 128])
def test_uniform_level(images: int) -> None:
    same = torch.ones(images, 8)
    assert info_nce(same, same, 0.1).item() == pytest.approx(math.log(images), rel=1e-5)


def test_half_precision_embeddings_are_compared_in_float32() -> None:
    anchors, keys = (part.detach().bfloat16() for part in embeddings(6, 4))
    expected = info_nce(anchors.float(), keys.float(), 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = info_nce(anchors, keys, 0.1)
    assert value.dtype == torch.float32
    assert value.item() == expected.item()
