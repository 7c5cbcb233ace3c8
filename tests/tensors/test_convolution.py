"""Convolutions as products: torch's own are the oracle, in float64."""

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import conv2d

from robench.encoders.resnet18 import ResNet18
from robench.tensors import convolution
from robench.tensors.convolution import QuickConv2d, convolve, quick_convolutions
from robench.tensors.modes import preserved_random_state

SHAPES = {  # channels in and out, kernel, stride, height and width
    "tiny": (5, 7, 3, 1, (4, 4)),
    "tiny-strided": (5, 7, 3, 2, (8, 7)),
    "shortcut": (5, 7, 1, 2, (8, 8)),
    "pointwise": (5, 7, 1, 1, (3, 5)),
    "wide-kernel": (2, 3, 5, 1, (4, 3)),
    "stem-of-imagenet": (3, 5, 7, 2, (16, 15)),
    "small": (5, 7, 3, 1, (8, 8)),
    "small-strided": (5, 7, 3, 2, (15, 16)),
    "one-pixel": (5, 7, 3, 1, (1, 1)),
}


def problem(shape: str) -> tuple[Tensor, Tensor, int]:
    inputs, outputs, size, stride, (height, width) = SHAPES[shape]
    dice = Generator().manual_seed(0)
    images = torch.randn(6, inputs, height, width, dtype=torch.float64, generator=dice)
    weights = torch.randn(outputs, inputs, size, size, dtype=torch.float64, generator=dice)
    return images.requires_grad_(), weights.requires_grad_(), stride


def gradients(maps: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(maps.sin().sum(), of)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("at_once", [6, 4, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_maps_and_gradients(
    shape: str, at_once: int, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, weights, stride = problem(shape)
    ours_from = images.detach().to(memory_format=layout).requires_grad_()
    expected = conv2d(images, weights, stride=stride, padding=weights.shape[2] // 2)
    pixels = expected.shape[2] * expected.shape[3]
    monkeypatch.setattr(convolution, "_BYTES", at_once * pixels * weights[0].numel() * 8)
    ours = convolve(ours_from, weights, stride)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(
        gradients(ours, ours_from, weights), gradients(expected, images, weights), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)


def test_only_the_gradients_that_are_asked_for_are_computed() -> None:
    images, weights, stride = problem("tiny")
    (alone,) = gradients(convolve(images, weights.detach(), stride), images)
    torch.testing.assert_close(alone, gradients(convolve(images, weights, stride), images)[0])
    maps = convolve(images.detach(), weights, stride)
    torch.testing.assert_close(
        gradients(maps, weights), gradients(convolve(images, weights, stride), weights)
    )


def layer(**arguments: object) -> QuickConv2d:
    with preserved_random_state():
        torch.manual_seed(0)
        return QuickConv2d(3, 4, 3, padding=1, **arguments)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("height", [4, 8, 16])
def test_the_layer_agrees_with_torch_s_in_half_precision(bias: bool, height: int) -> None:
    ours = layer(bias=bias)
    theirs = nn.Conv2d(3, 4, 3, padding=1, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(5, 3, height, height, generator=Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = [convolution(images) for convolution in (ours, theirs)]
    assert [one.dtype for one in maps] == [torch.bfloat16] * 2
    torch.testing.assert_close(maps[0], maps[1], rtol=0.02, atol=0.02)
    for mine, other in zip(
        gradients(maps[0].float(), *ours.parameters()),
        gradients(maps[1].float(), *theirs.parameters()),
        strict=True,
    ):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, other, rtol=0.05, atol=0.05 * float(other.abs().max()))


def test_small_maps_and_no_others_become_products(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        convolution,
        "convolve",
        lambda images, weights, stride: (
            seen.append(images.shape[2] // stride)
            or conv2d(
                images, weights.to(images.dtype), stride=stride, padding=weights.shape[2] // 2
            )
        ),
    )
    with preserved_random_state():
        network = ResNet18(width=4)
    images = torch.rand(2, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(images)
        assert seen == []
        with quick_convolutions(network):
            network(images)
        assert sorted(seen) == [4] * 5 + [8] * 5
        network(images)
    assert len(seen) == 10
    assert {type(m) for m in network.modules() if isinstance(m, nn.Conv2d)} == {nn.Conv2d}


@pytest.mark.parametrize(
    "arguments",
    [{"groups": 1, "dilation": 2}, {"padding_mode": "reflect"}, {"stride": (1, 2)}],
    ids=str,
)
def test_other_convolutions_are_left_to_torch(arguments: dict[str, object]) -> None:
    ours = layer(**arguments)
    images = torch.randn(2, 3, 6, 6, generator=Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ours(images), nn.Conv2d.forward(ours, images))


def test_in_full_precision_it_is_torch_s_own() -> None:
    ours = layer()
    images = torch.randn(2, 3, 4, 4, generator=Generator().manual_seed(1))
    assert torch.equal(ours(images), nn.Conv2d.forward(ours, images))
