"""Residual networks (He et al. 2016), for small images by default: a 3x3 stem, no max-pooling."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from robench.tensors.convolution import Conv2d
from robench.tensors.recompute import is_large, sparingly


class Normalise(nn.Module):
    """Images in [0, 1] to ``(images - mean) / std``; it has no weights.

    Each is one number, or three with commas between, one for each channel. Raises ValueError for
    anything else, and a ``std`` that is not positive.
    """

    mean: Tensor | float
    std: Tensor | float

    def __init__(self, mean: float | str, std: float | str) -> None:
        super().__init__()
        for name, given in (("mean", mean), ("std", std)):
            numbers = _numbers(name, given)
            if name == "std" and min(numbers) <= 0:
                raise ValueError(f"std={given} must be positive")
            if len(numbers) == 1:
                setattr(self, name, numbers[0])
            else:
                # Not saved: encoders keep the names of their weights.
                self.register_buffer(name, torch.tensor(numbers)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Conv2d(inputs, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = _shortcut(inputs, width, stride)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.activation(self.body(images).add_(self.shortcut(images))))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the last one widens fourfold."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.body = nn.Sequential(
            Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = _shortcut(inputs, outputs, stride)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.activation(self.body(images).add_(self.shortcut(images))))


_BLOCKS = BasicBlock, Bottleneck


class Network(nn.Sequential):
    """Layers one after the other; the blocks of large batches spare memory."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        convolution, *layers = self
        maps = cast(Tensor, convolution(input))
        if self.training and torch.is_grad_enabled() and is_large(maps):
            # What lies between the stem's BatchNorm and the first block need not be kept either.
            first = next(i for i, layer in enumerate(layers) if isinstance(layer, _BLOCKS))
            maps = sparingly(nn.Sequential(*layers[: first + 1]), maps)
            for layer in layers[first + 1 :]:
                maps = sparingly(layer, maps) if isinstance(layer, _BLOCKS) else layer(maps)
            return maps
        for layer in layers:
            maps = layer(maps)
        return maps


class UnitLength(nn.Module):
    """Features [B, D] scaled to length 1."""

    def forward(self, features: Tensor) -> Tensor:
        return normalize(features, dim=1)


CIFAR, IMAGENET = "cifar", "imagenet"


def residual_network(
    block: type[BasicBlock] | type[Bottleneck],
    depths: Sequence[int],
    width: int,
    stem: str = CIFAR,
    embedding: int = 0,
) -> tuple["Network", int]:
    """Stem, stages and global average pooling, with the width of the features.

    Stage i has ``depths[i]`` blocks of ``width * 2**i`` channels; each stage but the first halves
    the resolution. The ``stem`` "cifar" keeps it, "imagenet" quarters it, by a 7x7 convolution and
    max-pooling as in torchvision's. An ``embedding`` of more than 0 ends the network in a linear
    layer to so many features, scaled to length 1.

    Raises ValueError for sizes that do not exist and for another stem.
    """
    if width < 1:
        raise ValueError(f"width={width} must be positive")
    if embedding < 0:
        raise ValueError(f"embedding={embedding} must be positive, or 0 for none")
    layers = [*_stem(stem, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    if stem == IMAGENET:
        layers.append(nn.MaxPool2d(3, stride=2, padding=1))
    inputs = width
    for stage, depth in enumerate(depths):
        for i in range(depth):
            stride = 2 if stage > 0 and i == 0 else 1
            layers.append(block(inputs, width * 2**stage, stride))
            inputs = width * 2**stage * block.expansion
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if embedding == 0:
        return Network(*layers), inputs
    return Network(*layers, nn.Linear(inputs, embedding), UnitLength()), embedding


def _stem(stem: str, width: int) -> list[nn.Module]:
    match stem:
        case "cifar":
            return [Conv2d(3, width, 3, padding=1, bias=False)]
        case "imagenet":
            return [Conv2d(3, width, 7, stride=2, padding=3, bias=False)]
    raise ValueError(f"stem={stem} is unknown; choose {CIFAR} or {IMAGENET}")


def _numbers(name: str, given: float | str) -> list[float]:
    try:
        numbers = [float(part) for part in str(given).split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3):
        raise ValueError(
            f"{name}={given} should be one number, or three with commas between, in quotes"
        )
    return numbers


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
