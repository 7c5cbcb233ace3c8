"""Operations counted in networks, and the rate at which this machine does them.

Counted are the multiplications and additions of products and convolutions. Numbers that any
operation writes, and its call, count as operations that take as long: on one thread of an AVX-512
processor, forward and backward through residual networks of widths 8 to 64, in batches of 2 to 128,
came out within 20% of the time that this gives.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from robench.contracts import Batch, Encoder, Objective

_WRITTEN, _CALL = 200, 2.6e6  # operations in the time of a number written, and of a call
_AT_ONCE = 2e10  # operations in the step that is timed: a fraction of a second
_SIDE = 8  # pixels of the images that an objective is counted with


@dataclass(frozen=True)
class Operations:
    """Operations of a pass: those ``each`` image adds, and those of the ``calls`` of a batch."""

    each: float
    calls: float

    def of(self, images: int) -> float:
        """The operations of a batch."""
        return self.each * images + self.calls

    def times(self, passes: float) -> "Operations":
        """The operations of several passes."""
        return Operations(self.each * passes, self.calls * passes)


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products = self.convolved = self.written = self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        several = out if isinstance(out, tuple | list) else (out,)
        self.written += sum(one.numel() for one in several if isinstance(one, Tensor))
        if formula := flop_registry.get(func._overloadpacket):
            done = formula(*args, **(kwargs or {}), out_val=out)
            self.products += done
            self.convolved += done if "convolution" in str(func) else 0
        return out

    @property
    def operations(self) -> float:
        return self.products + _WRITTEN * self.written + _CALL * self.calls


def of_encoder(encoder: Encoder, side: int) -> Operations:
    """A forward pass of images of ``side`` pixels a side, in train mode."""
    with _Count() as count, torch.no_grad():
        encoder.train()(torch.rand(2, 3, side, side))
    calls = _CALL * count.calls
    return Operations((count.operations - calls) / 2, calls)


class Stub(Encoder):
    """Stands for any encoder while an objective's passes are counted."""

    width = 16

    def __init__(self) -> None:
        super().__init__()
        first, second = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3)
        pool = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.layers = nn.Sequential(first, nn.BatchNorm2d(16), second, *pool)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


@dataclass(frozen=True)
class Step:
    """A training step: passes of the encoder for each image, and operations beside them.

    Those are for an image of one pixel.
    """

    passes: float
    own: Operations

    def of(self, encoder: Operations, batch: int, side: int) -> float:
        """The operations of a step with an encoder."""
        own = Operations(self.own.each * side**2, self.own.calls)
        # Several views go through the encoder at once, so it is called less often than passed.
        return encoder.each * self.passes * batch + encoder.calls * self.passes / 2 + own.of(batch)


def of_step(objective: Objective, stub: Stub) -> Step:
    """A training step of an objective around the ``stub``; nothing is optimised."""
    with _Count() as once, torch.no_grad():
        stub(torch.rand(1, 3, _SIDE, _SIDE))
    few, more = (_counted(objective, images) for images in (4, 8))
    passes = (more.convolved - few.convolved) / 4 / once.convolved
    each = (more.operations - few.operations) / 4
    encoder = of_encoder(stub, _SIDE)
    own = max(0.0, each - passes * encoder.each) / _SIDE**2
    calls = max(0.0, few.operations - 4 * each - encoder.calls * passes / 2)
    return Step(passes, Operations(own, calls))


def _counted(objective: Objective, count: int) -> _Count:
    index = torch.arange(count)
    labels = index % 2 if objective.uses_labels else None
    images = torch.rand(count, 3, _SIDE, _SIDE)
    objective.train()
    counted = _Count()
    with counted:
        torch.autograd.backward(objective(Batch(images, index, labels, 0, 1, 0.0, Generator())))
    return counted


def rate(encoder: Encoder, side: int, device: torch.device, precision: str) -> float:
    """Operations a second, by the best of three passes forward and back through an encoder."""
    once = of_encoder(encoder, side)
    images = torch.rand(max(4, min(256, int(_AT_ONCE / (3 * once.each)))), 3, side, side)
    encoder, images, taken = encoder.to(device), images.to(device), list[float]()
    for _ in range(3):
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            torch.autograd.backward(encoder(images).float().sum())
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return 3 * once.of(len(images)) / min(taken)
