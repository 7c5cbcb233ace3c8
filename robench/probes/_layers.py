"""The linear layer that a probe starts from, without a draw from torch's global state."""

import torch
from torch import Generator, nn


def zero_layer(width: int, classes: int, device: torch.device) -> nn.Linear:
    """A layer [B, width] -> [B, classes] of zeros."""
    layer = _empty(width, classes, device)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    return layer


def uniform_layer(
    width: int, classes: int, device: torch.device, generator: Generator
) -> nn.Linear:
    """A layer [B, width] -> [B, classes] drawn as nn.Linear draws its own, from ``generator``."""
    layer, bound = _empty(width, classes, device), width**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def _empty(width: int, classes: int, device: torch.device) -> nn.Linear:
    # Empty at first: nn.Linear's own initialisation would draw from the global state.
    return nn.Linear(width, classes, device="meta").to_empty(device=device)
