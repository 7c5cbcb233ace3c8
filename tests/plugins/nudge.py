"""An attack in one file: a single step along the sign of the gradient."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from robench.contracts import Attack, Attacked, Run, Target
from robench.tensors.balls import Ball, ball


@dataclass(frozen=True)
class Nudge(Attack):
    """The fast gradient sign method."""

    eps: float = 8 / 255
    norm: str = "linf"

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        images = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(target.model(images), labels), images)
        return Attacked((images + self.eps * gradient.sign()).clamp(0, 1).detach())
