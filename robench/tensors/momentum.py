"""Networks that follow another by a moving average."""

import math
from copy import deepcopy

import torch
from torch import nn


def follower(network: nn.Module) -> nn.Module:
    """A copy of the network that no gradient reaches."""
    return deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(copy: nn.Module, network: nn.Module, momentum: float) -> None:
    """Set each weight of ``copy`` to momentum times itself plus the rest times ``network``'s.

    Buffers stay: a follower's BatchNorms have the statistics of its own batches.
    """
    for slow, fast in zip(copy.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)


def rising(momentum: float, progress: float) -> float:
    """The momentum that climbs to 1 by half a cosine (BYOL, section 3.2), at a ``progress``."""
    return 1 - (1 - momentum) * (1 + math.cos(math.pi * progress)) / 2
