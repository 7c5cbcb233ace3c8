"""Residual networks (He et al. 2016), for small images by default: a 3x3 stem, no max-pooling."""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from robench.tensors.contrast import unit_length

NORMALIZATIONS: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {
    "half": ((0.5,), (0.5,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    # Its deviations are means over single images: kuangliu/pytorch-cifar, main.py:34.
    "pytorch-cifar": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    # solo-learn's and others': solo/data/pretrain_dataloader.py:208-212.
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation of pixels in [0, 1], for all channels or for each."""


class Normalize(nn.Module):
    """Images in [0, 1] to ``(images - mean) / std``; it has no weights.

    ``by`` is a name in `NORMALIZATIONS`, or numbers such as "0.5:0.25" or "0.5,0.4,0.3:0.25", the
    mean before the colon; None leaves images as they are. Raises ValueError for anything else, and
    for a ``std`` that is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, by: str | None) -> None:
        super().__init__()
        for name, numbers in zip(("mean", "std"), _mean_and_std(by), strict=True):
            # Not saved, so that weights keep their names.
            channels = torch.tensor(numbers)[:, None, None]
            self.register_buffer(name, channels, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def _mean_and_std(by: str | None) -> tuple[Sequence[float], Sequence[float]]:
    if by is None:
        return (0.0,), (1.0,)
    if by in NORMALIZATIONS:
        return NORMALIZATIONS[by]
    try:
        mean, std = ([float(one) for one in part.split(",")] for part in by.split(":"))
    except ValueError:
        mean, std = [], []
    if not {len(mean), len(std)} <= {1, 3}:
        raise ValueError(
            f"normalize={by} should be none, {', '.join(NORMALIZATIONS)}, or numbers such as "
            "'0.5:0.25' or '0.5,0.4,0.3:0.25', mean before std"
        )
    if min(std) <= 0:
        raise ValueError(f"normalize={by}: std must be positive")
    return mean, std


class _Block(nn.Module):
    """Convolutions, as (channels, kernel, stride), beside a shortcut."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, *convolutions: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.body = _normed(inputs, *convolutions)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _normed(inputs, (outputs, 1, stride))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.activation(self.body(images).add_(self.shortcut(images))))


class BasicBlock(_Block):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__(inputs, width, stride, (width, 3, stride), (width, 3, 1))


class Bottleneck(_Block):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the last one widens fourfold."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        wide = width * self.expansion
        super().__init__(inputs, wide, stride, (width, 1, 1), (width, 3, stride), (wide, 1, 1))


def _normed(inputs: int, *convolutions: tuple[int, int, int]) -> nn.Sequential:
    """Convolutions, each with a BatchNorm, and a ReLU between them."""
    layers: list[nn.Module] = []
    for outputs, kernel, stride in convolutions:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        inputs = outputs
    return nn.Sequential(*layers[:-1])


class UnitLength(nn.Module):
    """Features [B, D] scaled to length 1."""

    def forward(self, features: Tensor) -> Tensor:
        return unit_length(features)


class Stem(NamedTuple):
    """The layers before the stages: a convolution, BatchNorm, ReLU, and 3x3 max-pooling.

    ``stride`` and ``padding`` are the convolution's; the pooling halves the resolution.
    """

    kernel: int
    stride: int
    padding: int
    rectified: bool
    pooled: bool

    def __str__(self) -> str:
        return (
            f"{self.kernel}x{self.kernel}, stride {self.stride}, padding {self.padding}, "
            f"{'' if self.rectified else 'no ReLU, '}{'max-' if self.pooled else 'no '}pooling"
        )


CIFAR, IMAGENET = "cifar", "imagenet"
_STEMS = {CIFAR: Stem(3, 1, 1, True, False), IMAGENET: Stem(7, 2, 3, True, True)}
_STEM = re.compile(
    r"(cifar|imagenet)(?:-stride([12]))?(?:-pad(\d))?(-no-relu)?(-pool|-no-pool)?", re.ASCII
)


def stem(name: str) -> Stem:
    """The stem of a name: "cifar" keeps the resolution, "imagenet" (torchvision's) quarters it.

    "-stride1", "-pad2", "-no-relu", "-pool" and "-no-pool" change them, in this order, as in
    "cifar-pad2-pool". Raises ValueError for another name.
    """
    found = _STEM.fullmatch(name)
    if found is None:
        raise ValueError(
            f"stem={name} is unknown; choose cifar or imagenet, changed by -stride1, -pad2, "
            "-no-relu, -pool or -no-pool in this order, such as cifar-pad2-pool"
        )
    base, stride, padding, linear, pooling = found.groups()
    usual = _STEMS[base]
    return Stem(
        usual.kernel,
        int(stride or usual.stride),
        int(padding or usual.padding),
        not linear,
        pooling == "-pool" if pooling else usual.pooled,
    )


class ResidualEncoder(nn.Module):
    """Stem, stages of the class's ``block``s and ``depths``, and global average pooling.

    Stage i has ``depths[i]`` blocks of ``width * 2**i`` channels; each stage but the first halves
    the resolution. ``normalize`` is the first layer (`Normalize`); the default is that of CLAE's
    SimCLR (SimCLR/modules/transformations/simclr.py:11-26), and RoCL has none
    (src/data_loader.py:17-23). ``stem`` is a name as in `stem`. An ``embedding`` of more than 0
    ends the network in a linear layer to so many features, scaled to length 1: what CLAE's Plain
    and UEL evaluate (Plain/models/resnet_cifar.py:154-155, eval.py:195-197).

    Raises ValueError for arguments outside these.
    """

    block: ClassVar[type[BasicBlock] | type[Bottleneck]]
    depths: ClassVar[Sequence[int]]

    def __init__(
        self,
        width: int = 64,
        normalize: str | None = "half",
        stem: str = CIFAR,
        embedding: int = 0,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width={width} must be positive")
        if embedding < 0:
            raise ValueError(f"embedding={embedding} must be positive, or 0 for none")
        self.normalize = Normalize(normalize)
        layers, inputs = _stem(stem, width), width
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                layers.append(self.block(inputs, width * 2**stage, stride))
                inputs = width * 2**stage * self.block.expansion
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if embedding > 0:
            layers += [nn.Linear(inputs, embedding), UnitLength()]
        self.network = nn.Sequential(*layers)
        self.width = embedding or inputs

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.network(self.normalize(images)))


def _stem(name: str, width: int) -> list[nn.Module]:
    kernel, stride, padding, rectified, pooled = stem(name)
    convolution = nn.Conv2d(3, width, kernel, stride, padding, bias=False)
    # Numbers are the names of weights, so a ReLU that is missing leaves its place.
    activation = nn.ReLU(inplace=True) if rectified else nn.Identity()
    pooling = [nn.MaxPool2d(3, stride=2, padding=1)] if pooled else []
    return [convolution, nn.BatchNorm2d(width), activation, *pooling]
