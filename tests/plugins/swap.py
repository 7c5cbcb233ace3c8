"""An attack with a known result on `known` images, in train mode none."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from robench.contracts import Attack, Attacked, Run, Target
from robench.tensors.balls import Ball, Linf


@dataclass(frozen=True)
class Swap(Attack):
    """Weak images are turned upside down, which is another class; others get a little brighter.

    How much brighter is drawn for each image.
    """

    needs = frozenset({"labels"})

    @property
    def ball(self) -> Ball:
        return Linf(0.5)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        assert not any(part.training for part in target.model.modules())
        weak = images[:, 2, 0, 0] == 0
        light = 0.1 * torch.rand(len(images), 1, 1, 1, generator=generator)
        turned = torch.cat([images[:, :2].flip(2), images[:, 2:]], 1)
        return Attacked(torch.where(weak[:, None, None, None], turned, images + light))
