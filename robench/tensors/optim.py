"""LARS, and the learning-rate schedules."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

_TRUST, _EPS = 0.001, 1e-8  # of torchlars 0.1.2, as RoCL's code uses it


class LARS(Optimizer):
    """SGD with momentum, each layer's step scaled to its weights' size (You et al. 2017).

    As in the `torchlars` wrapper that RoCL trains with (trust 0.001, eps 1e-8), each parameter's
    gradient, with the weight decay added, is multiplied by ``trust * |w| / (|g| + weight_decay *
    |w| + eps)`` wherever both norms are positive; biases and BatchNorm parameters are no exception.
    Momentum then accumulates the scaled gradients.

    A group may have a ``trust`` of its own, None for plain SGD; in one that is ``clipped``, no
    step is longer than plain SGD's.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        defaults |= {"trust": _TRUST, "clipped": False}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    self._update(weights, weights.grad, group)

    def _update(self, weights: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        decay, trust = group["weight_decay"], group["trust"]
        weight_size, gradient_size = weights.norm(), gradient.norm()
        scale = (trust or 0.0) * weight_size / (gradient_size + decay * weight_size + _EPS)
        if group["clipped"]:
            scale = (scale / group["lr"]).clamp(max=1) if group["lr"] > 0 else scale
        scaled = (weight_size > 0) & (gradient_size > 0) & (trust is not None)
        scale = torch.where(scaled, scale, torch.ones_like(scale))
        if "velocity" not in self.state[weights]:
            self.state[weights]["velocity"] = torch.zeros_like(weights)
        velocity = self.state[weights]["velocity"]
        # In place, since on a CPU every pass over the weights shows.
        velocity.mul_(group["momentum"]).addcmul_(gradient, scale)
        velocity.addcmul_(weights, decay * scale)
        weights.sub_(velocity, alpha=group["lr"])


def clipped_groups(module: nn.Module, trust: float = 0.02) -> list[dict[str, Any]]:
    """The module's parameters in two groups, as solo-learn trains with LARS on CIFAR.

    Matrices and kernels have this ``trust``, clipped; biases and the parameters of BatchNorms have
    neither that nor weight decay (solo/utils/lars.py:126-143 at 9187ea3).
    """
    trained = [weights for weights in module.parameters() if weights.requires_grad]
    return [
        {"params": [w for w in trained if w.dim() > 1], "trust": trust, "clipped": True},
        {"params": [w for w in trained if w.dim() <= 1], "trust": None, "weight_decay": 0.0},
    ]


def optimizer(
    name: str,
    parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
    lr: float,
    momentum: float,
    weight_decay: float,
) -> Optimizer:
    """The optimizer of that name: "sgd", "adam" (which has no ``momentum``) or "lars".

    ``parameters`` may be groups, as in `torch.optim`, whose own values come first.
    """
    match name:
        case "sgd":
            return SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)
        case "adam":
            return Adam(parameters, lr=lr, weight_decay=weight_decay, fused=True)
        case "lars":
            return LARS(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    raise ValueError(f"no optimizer '{name}'; choose sgd, adam or lars")


def warmup_cosine(
    time: float, warmup: float, end: float, start: float = 0.0, hold: float = 0.0
) -> float:
    """The learning rate at ``time`` as a share of its peak; all times are in the same unit.

    Linear from ``start`` to 1 over ``warmup``, 1 for ``hold`` more, then half a cosine down to 0 at
    ``end``.
    """
    if time < warmup:
        return start + (1 - start) * time / warmup
    peak = warmup + hold
    return 0.5 * (1 + math.cos(math.pi * max(time - peak, 0.0) / max(end - peak, 1e-12)))


def stepwise(epoch: int, falls: Sequence[tuple[int, float]]) -> float:
    """The learning rate in ``epoch``, from 0, as a share of its start.

    ``falls`` are pairs of an epoch and the share from there on, in order.
    """
    return next((share for at, share in reversed(falls) if epoch >= at), 1.0)
