"""CLAE on its SimCLR base (Ho & Vasconcelos 2020, arXiv 2010.12050)."""

import math
from typing import ClassVar

from torch import Generator, Tensor

from robench.contracts import Encoder, Objective
from robench.recipe import Recipe
from robench.tensors.ascend import ascend
from robench.tensors.balls import Linf
from robench.tensors.batchnorm import ADVERSARIAL, add_adversarial_branch, through_branch
from robench.tensors.contrast import nt_xent
from robench.tensors.modes import frozen
from robench.tensors.projector import projector
from robench.tensors.views import simclr_views


class CLAE(Objective):
    """NT-Xent between two views, plus ``alpha`` times that of the first and its adversary.

    The adversary is one signed gradient step of size ``eps`` from the first view that raises its
    NT-Xent against that same view, with the whole batch as negatives (SimCLR/main.py:48-61).
    Adversaries have BatchNorm statistics of their own, with ``momentum``, in train mode for both
    the step and the loss; features for evaluation come from the clean ones.

    Defaults are the authors' code's (SimCLR/main.py:22-40, run_cifar10.sh). Its eps 0.03 is in
    units of images normalised with a standard deviation of 0.5, that is 0.015 in pixels of [0, 1];
    and it does not ``clamp`` the adversary to the pixel range.
    """

    # SimCLR/main.py:16-24 and model.py:20-21: no schedule, no weight decay.
    paper: ClassVar[Recipe] = Recipe(
        epochs=100, batch=256, optimizer="adam", lr=3e-4, schedule="constant"
    )

    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float = 0.5,
        eps: float = 0.015,
        alpha: float = 1.0,
        momentum: float = 0.01,
        clamp: bool = False,
        hidden: int = 0,
        output: int = 64,
        colour: float = 1.0,
        crop: float = 0.08,
    ) -> None:
        super().__init__()
        if temperature <= 0 or not 0 < eps <= 1 or not 0 < momentum <= 1:
            raise ValueError(
                f"temperature={temperature} must be positive, "
                f"eps={eps} and momentum={momentum} in (0, 1]"
            )
        add_adversarial_branch(encoder, momentum)
        self.encoder = encoder
        self.projector = projector(encoder.width, hidden, output)
        self.temperature, self.alpha = temperature, alpha
        self.ball = Linf(eps, pixels=(0.0, 1.0) if clamp else (-math.inf, math.inf))
        self.augment = simclr_views(colour, crop)

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        first, second = (self.augment(images, generator) for _ in range(2))
        anchor = self._embed(first)
        loss = nt_xent([anchor, self._embed(second)], self.temperature)
        with through_branch(self.encoder, ADVERSARIAL):
            adversary = self._embed(self.adversary(first))
        return loss + self.alpha * nt_xent([anchor, adversary], self.temperature)

    def adversary(self, views: Tensor) -> Tensor:
        """One step up the loss of the views [B, 3, H, W] against themselves, in the branch in use.

        The step starts where the anchor is, so one encoding serves as both: the anchor's is the
        same, held constant.
        """

        def loss(attacked: Tensor) -> Tensor:
            embedding = self._embed(attacked)
            return nt_xent([embedding.detach(), embedding], self.temperature)

        with frozen(self):
            return ascend(loss, views, self.ball, steps=1, step_size=self.ball.eps)

    def _embed(self, images: Tensor) -> Tensor:
        embedding: Tensor = self.projector(self.encoder(images))
        return embedding
