"""Features of a frozen encoder, and proof that it stayed frozen."""

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from robench.tensors.batchnorm import BranchedBatchNorm
from robench.tensors.modes import evaluating, full_precision


def to_images(stored: Any, device: torch.device | str) -> Tensor:
    """Stored pixels, a uint8 array [B, 3, H, W], as float32 in [0, 1] on the device."""
    # A copy: memory-mapped arrays are read-only, which torch cannot express.
    return torch.tensor(stored, device=device).float().div_(255)


def extract(encoder: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """The features [n, D] of images [B, 3, H, W] in [0, 1], in eval mode and full precision."""
    with torch.no_grad(), evaluating(encoder), full_precision():
        return torch.cat([encoder(images) for images in batches])


def fingerprint(module: nn.Module) -> str:
    """The SHA-256 of all that an answer rests on: equal before and after is unchanged.

    That is every parameter and buffer by name, those that are never saved too, and the branch that
    each branched BatchNorm uses.
    """
    digest = hashlib.sha256()
    tensors: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    tensors |= module.named_buffers(remove_duplicate=False)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        raw = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    for name, part in module.named_modules():
        if isinstance(part, BranchedBatchNorm):
            digest.update(f"{name} {part.branch}".encode())
    return digest.hexdigest()
