"""Processes ("ranks") that train one model: each has a part of the batch, and losses see all of it.

Every rank computes the same loss. Differentiating the sum of these and averaging the parameters'
gradients over the ranks gives the gradient of one process on the whole batch.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function

_ACROSS = ContextVar("across ranks", default=False)


def size() -> int:
    """The number of ranks; 1 where this process is alone."""
    alone = not (distributed.is_available() and distributed.is_initialized())
    return 1 if alone else distributed.get_world_size()


def rank() -> int:
    """The number of this process, from 0."""
    return 0 if size() == 1 else distributed.get_rank()


@contextmanager
def across_ranks(module: nn.Module) -> Iterator[None]:
    """Let contrastive losses and the BatchNorms in ``module`` see every rank's batch in the block.

    All ranks must do the same in it, with batches of one size. Changes nothing in a single process.
    """
    changed = {part: type(part) for part in module.modules() if type(part) in _WIDE}
    if size() == 1:
        changed.clear()
    token = _ACROSS.set(size() > 1)
    for part, kind in changed.items():
        # By class, so that parameters, buffers and hooks stay what they are.
        part.__class__ = _WIDE[kind]
    try:
        yield
    finally:
        _ACROSS.reset(token)
        for part, kind in changed.items():
            part.__class__ = kind


def gathered(local: Tensor) -> Tensor:
    """The rows [N, ...] of all ranks, in their order; gradients go back to where rows came from."""
    whole: Tensor = _Gather.apply(local) if _ACROSS.get() else local
    return whole


def average(tensors: Iterable[Tensor]) -> None:
    """Give each tensor its mean over the ranks, in place."""
    if size() > 1:
        several = list(tensors)
        flat = torch.cat([one.reshape(-1) for one in several])
        distributed.all_reduce(flat)
        sizes = [one.numel() for one in several]
        for one, total in zip(several, torch.split(flat, sizes), strict=True):
            one.copy_((total / size()).view_as(one))


def share(value: object = None) -> Any:
    """The ``value`` of the first rank, on every rank."""
    if size() == 1:
        return value
    shared = [value]
    distributed.broadcast_object_list(shared, device=torch.device("cpu"))
    return shared[0]


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        local = local.contiguous()
        parts = [torch.empty_like(local) for _ in range(size())]
        distributed.all_gather(parts, local)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.chunk(size())[rank()]


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        total = local.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradients[0].contiguous())


class _Wide:
    """BatchNorm whose batch in train mode is that of all ranks; torch's own needs a GPU."""

    def forward(self: Any, maps: Tensor) -> Tensor:
        if not self.training:
            normal: Tensor = super().forward(maps)  # type: ignore[misc]
            return normal
        wide = maps if maps.dtype == torch.float64 else maps.float()
        others = [0, *range(2, maps.dim())]
        count = size() * wide.numel() // wide.shape[1]
        shape = [1, -1, *[1] * (maps.dim() - 2)]

        def mean(of: Tensor) -> Tensor:
            total: Tensor = _Sum.apply(of.sum(others)) / count
            return total

        middle = mean(wide)
        centred = wide - middle.view(shape)
        variance = mean(centred.square())
        if self.running_mean is not None:
            self.num_batches_tracked += 1
            new = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(middle.detach().to(self.running_mean), new)
            unbiased = variance.detach() * count / (count - 1)
            self.running_var.lerp_(unbiased.to(self.running_var), new)
        normed = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            normed = normed * self.weight.view(shape) + self.bias.view(shape)
        same: Tensor = normed.to(maps.dtype)
        return same


class WideBatchNorm1d(_Wide, nn.BatchNorm1d):
    """`nn.BatchNorm1d` over the batches of all ranks."""


class WideBatchNorm2d(_Wide, nn.BatchNorm2d):
    """`nn.BatchNorm2d` over the batches of all ranks."""


_WIDE: dict[type, type] = {nn.BatchNorm1d: WideBatchNorm1d, nn.BatchNorm2d: WideBatchNorm2d}
