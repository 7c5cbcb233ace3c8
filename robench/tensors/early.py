"""A term of a loss, differentiated at once, so that what it was computed from can be let go."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function


def differentiated(loss: Tensor, parameters: Iterable[nn.Parameter]) -> Tensor:
    """The same scalar with the same gradient for the ``parameters``, and for nothing else.

    The gradient is computed here, and only passed on when the sum of all terms is differentiated:
    two terms with large graphs then need the memory of one.
    """
    if not loss.requires_grad:
        return loss
    trained = [weights for weights in parameters if weights.requires_grad]
    with torch.autocast(loss.device.type, enabled=False):
        gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    return cast(Tensor, _Known.apply(loss.detach(), gradients, *trained))


class _Known(Function):
    @staticmethod
    def forward(
        ctx: Any, loss: Tensor, gradients: tuple[Tensor | None, ...], *weights: Tensor
    ) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        passed = (None if one is None else factor * one for one in ctx.gradients)
        return (None, None, *passed)
