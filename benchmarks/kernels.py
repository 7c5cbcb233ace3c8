"""Milliseconds of ResNet-18's convolutions in bfloat16: torch's kernels against products.

    python benchmarks/kernels.py --batch 64

For each 3x3 convolution: the forward pass and the gradients for the images and for the weights, by
torch's CPU kernels and by the matrix products of `robench/tensors/convolution.py`. With --compiled,
also BatchNorm, sum and ReLU of a residual block, eager and by `torch.compile` (needs a C++
compiler). All take turns.
"""

import argparse
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from measuring import machine, show, timed
from torch import Tensor, nn

from robench.engine.work import keep_freed_memory
from robench.tensors import convolution
from robench.tensors.convolution import convolve

SHAPES = [  # channels in and out, pixels a side, stride
    (64, 64, 32, 1),
    (128, 128, 16, 1),
    (256, 256, 8, 1),
    (256, 512, 8, 2),
    (512, 512, 4, 1),
]
Work = Callable[[], object]


def maps(*shape: int) -> Tensor:
    """Random maps in the memory layout and data type of pretraining."""
    return torch.randn(*shape).bfloat16().contiguous(memory_format=torch.channels_last)


def in_turns(works: Mapping[str, Work], repeats: int) -> dict[str, float]:
    """Time each in turns; returns the medians in milliseconds."""
    for work in works.values():
        work()
    times = [{name: timed(work).wall for name, work in works.items()} for _ in range(repeats)]
    return {name: 1000 * median(one[name] for one in times) for name in works}


def kernel(images: Tensor, weights: Tensor, stride: int) -> Tensor:
    """torch's own convolution."""
    return nn.functional.conv2d(images, weights, stride=stride, padding=1)


def gradient(made: Tensor, of: Tensor, along: Tensor) -> Work:
    """A function that computes one of the two gradients."""
    return lambda: torch.autograd.grad(made, of, along, retain_graph=True)


def convolutions(batch: int, repeats: int) -> dict[str, dict[str, float]]:
    """Time both for each shape, products for maps of any size."""
    convolution._TINY = 2**30
    found = {}
    for inputs, outputs, side, stride in SHAPES:
        images = maps(batch, inputs, side, side).requires_grad_()
        weights = maps(outputs, inputs, 3, 3).requires_grad_()
        along = maps(batch, outputs, side // stride, side // stride)
        works: dict[str, Work] = {}
        for name, way in (("kernel", kernel), ("product", convolve)):
            works[f"{name} forward"] = lambda way=way, a=images, b=weights, c=stride: way(a, b, c)
            # The other is detached: a custom function computes the gradients that inputs need.
            to_images = way(images, weights.detach(), stride)
            works[f"{name} images"] = gradient(to_images, images, along)
            to_weights = way(images.detach(), weights, stride)
            works[f"{name} weights"] = gradient(to_weights, weights, along)
        found[f"{side}x{side}, {inputs} to {outputs}"] = in_turns(works, repeats)
    return found


class Tail(nn.Module):
    """The layers between the convolutions of two residual blocks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor, shortcut: Tensor) -> Tensor:
        return torch.relu(self.norm(maps) + shortcut)


def tails(batch: int, repeats: int) -> dict[str, dict[str, float]]:
    """Time forward and backward passes, eager and compiled."""
    found = {}
    for channels, side in ((64, 32), (128, 16)):
        first, second, along = (maps(batch, channels, side, side) for _ in range(3))
        first.requires_grad_()
        eager = Tail(channels)
        compiled = torch.compile(eager, dynamic=False)
        works: dict[str, Work] = {
            name: lambda part=part, a=first, b=second, c=along: part(a, b).backward(c)
            for name, part in (("eager", eager), ("compiled", compiled))
        }
        found[f"{side}x{side}, {channels}"] = in_turns(works, repeats)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    found = (tails if asked.compiled else convolutions)(asked.batch, asked.repeats)
    row: dict[str, Any] = {"benchmark": "kernels", "batch": asked.batch, **machine()}
    table = {"ms": list(next(iter(found.values())))}
    show(
        row | {"milliseconds": found}, table | {name: list(v.values()) for name, v in found.items()}
    )
