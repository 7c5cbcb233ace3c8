"""Projected ascent: the one climb behind PGD, FGSM and the adversaries of CLAE and RoCL."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from robench.tensors.balls import Ball, ball


class GradientError(ArithmeticError):
    """The gradient in ``images`` [B, C, H, W] has values that are not finite."""

    def __init__(self, images: Tensor) -> None:
        super().__init__("the gradient is not finite")
        self.images = images


def ascend(
    loss: Callable[[Tensor], Tensor],
    centre: Tensor,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    generator: Generator | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Climb ``loss`` within ``ball`` around ``centre`` [B, C, H, W]; return the last images.

    Each step is x <- project(step(x, gradient, step_size)), the projected gradient of Madry et al.
    (2018, arXiv 1706.06083, section 2.1). ``loss`` maps images to a scalar, or to values
    that are summed. The climb begins at ``start``; else at a random point of the ball where a
    ``generator`` is given; else at ``centre``. ``step_size`` is in the ball's norm, in pixels of
    [0, 1]; with 0 ``steps`` the beginning comes back. Only the input is differentiated: no
    parameter's ``.grad`` changes, and the caller may be under ``torch.no_grad()``. Raises
    GradientError where the gradient is not finite.
    """
    centre = centre.detach()
    if start is None:
        start = centre if generator is None else ball.sample(centre, generator)
    images = start.detach().clone()
    for _ in range(steps):
        with torch.enable_grad():
            images.requires_grad_()
            total = loss(images).sum()
        # Differentiated outside autocast, as torch has it: what was float32 stays float32.
        with torch.autocast(images.device.type, enabled=False):
            (gradient,) = torch.autograd.grad(total, images)
        images = images.detach()
        if not gradient.isfinite().all():  # the sign of nan is zero, and no step
            raise GradientError(images)
        images = ball.project(ball.step(images, gradient, step_size), centre)
    return images


@dataclass(frozen=True)
class Climb:
    """PGD within an Linf ball, as training does it; ``eps`` and ``step_size`` in pixels of [0, 1].

    Raises ValueError for values out of range.
    """

    eps: float
    step_size: float
    steps: int

    def __post_init__(self) -> None:
        ball("linf", self.eps)
        if self.step_size <= 0 or self.steps < 1:
            raise ValueError(
                f"step_size={self.step_size} must be positive and steps={self.steps} at least 1"
            )

    def __call__(
        self,
        loss: Callable[[Tensor], Tensor],
        centre: Tensor,
        generator: Generator | None = None,
        start: Tensor | None = None,
    ) -> Tensor:
        """`ascend` from a random point of the ball, or from ``start``."""
        within = ball("linf", self.eps)
        return ascend(
            loss,
            centre,
            within,
            steps=self.steps,
            step_size=self.step_size,
            generator=generator,
            start=start,
        )
