"""Memory for time: what a part of a network keeps for its gradient is computed a second time."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from robench.tensors.allocation import give_back_freed_memory
from robench.tensors.batchnorm import DualBatchNorm2d

_LARGE = 48 * 2**20
"""Bytes of a map on a CPU, beyond which it pays: with ResNet-18, batches of 512 have such maps, and
none of 128 has (docs/performance.md)."""


def is_large(maps: Tensor) -> bool:
    """Whether a network that has maps of that size should spare memory."""
    return maps.device.type == "cpu" and maps.numel() * maps.element_size() > _LARGE


def sparingly(part: nn.Module, images: Tensor) -> Tensor:
    """``part(images)`` in training, with the same gradient, in less memory and more time.

    BatchNorm's running statistics count each batch once, and whichever branch is in use now serves
    the second time as well.
    """
    give_back_freed_memory()
    in_use = [(norm, norm.branch) for norm in part.modules() if isinstance(norm, DualBatchNorm2d)]
    again = checkpoint(
        part,
        images,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _once_more(part, in_use)),
    )
    return cast(Tensor, again)


@contextmanager
def _once_more(part: nn.Module, in_use: list[tuple[DualBatchNorm2d, str]]) -> Iterator[None]:
    give_back_freed_memory()
    # On copies of the statistics: the ones that count have seen this batch.
    norms = [norm for norm in part.modules() if isinstance(norm, _BatchNorm)]
    counted = [dict(norm.named_buffers(recurse=False)) for norm in norms]
    before = [norm.branch for norm, _ in in_use]
    for norm, buffers in zip(norms, counted, strict=True):
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    for dual, branch in in_use:
        dual.branch = branch
    try:
        yield
    finally:
        for norm, buffers in zip(norms, counted, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)
        for (dual, _), branch in zip(in_use, before, strict=True):
            dual.branch = branch
