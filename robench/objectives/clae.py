"""CLAE on its three bases (Ho & Vasconcelos 2020, arXiv 2010.12050)."""

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Generator, Tensor

from robench.contracts import Argument, Encoder, Objective, on_its_base
from robench.grid.recipe import Recipe
from robench.objectives.plain import CLAE_INSTANCE, CLAE_SIMCLR, Plain
from robench.tensors.ascend import ascend
from robench.tensors.balls import Linf
from robench.tensors.bases import base_of
from robench.tensors.batchnorm import ADVERSARIAL, add_adversarial_branch, through_branch
from robench.tensors.modes import frozen


class CLAE(Objective):
    """NT-Xent between two views, plus ``alpha`` times that of the first and its adversary.

    The adversary is one signed gradient step of size ``eps`` from the first view that raises its
    NT-Xent against that same view, with the whole batch as negatives (SimCLR/main.py:48-61).
    Adversaries have BatchNorm statistics of their own, with ``momentum``, in train mode for both
    the step and the loss; features for evaluation come from the clean ones.

    Defaults are the authors' code's (SimCLR/main.py:22-40, run_cifar10.sh). Its eps 0.03 is in
    units of images normalised with a standard deviation of 0.5, that is 0.015 in pixels of [0, 1];
    and it does not ``clamp`` the adversary to the pixel range.

    On the bases "plain" and "uel" InfoNCE in one direction (Plain/main.py:57-83, 219-227) and the
    instance-spreading loss (UEL/main.py:58-69, 214-226) take NT-Xent's place, in the step too.
    Their 0.03 is in units of the standard deviation of each channel: 0.03 times its mean over the
    channels, 0.2009, is 0.006027 in pixels. ``bases`` has the defaults that they change.
    """

    paper: ClassVar[Recipe] = CLAE_SIMCLR
    later: ClassVar[tuple[str, ...]] = ("base",)
    bases: ClassVar[Mapping[str, Mapping[str, Argument]]] = {
        "simclr": {},
        # Plain/main.py:34-37 and 49, UEL/main.py:35-38 and 50.
        "plain": {**Plain.bases["plain"], "output": 128, "eps": 0.006027},
        "uel": {**Plain.bases["uel"], "output": 128, "eps": 0.006027},
    }

    @on_its_base
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
        base: str = "simclr",
    ) -> None:
        super().__init__()
        if temperature <= 0 or not 0 < eps <= 1 or not 0 < momentum <= 1:
            raise ValueError(
                f"temperature={temperature} must be positive, "
                f"eps={eps} and momentum={momentum} in (0, 1]"
            )
        made = base_of(base, tuple(self.bases))
        add_adversarial_branch(encoder, momentum)
        self.encoder = encoder
        self.projector = made.projector(encoder.width, hidden, output)
        self.temperature, self.alpha, self.contrast = temperature, alpha, made.contrast
        self.ball = Linf(eps, pixels=(0.0, 1.0) if clamp else (-math.inf, math.inf))
        self.augment = made.views(colour, crop)

    @classmethod
    def schedule(cls, arguments: Mapping[str, Argument]) -> Recipe:
        """The schedule of the branch of the authors' code that the base is."""
        return cls.paper if arguments["base"] == "simclr" else CLAE_INSTANCE

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        first, second = (self.augment(images, generator) for _ in range(2))
        anchor = self._embed(first)
        loss = self.contrast(anchor, self._embed(second), self.temperature)
        with through_branch(self.encoder, ADVERSARIAL):
            adversary = self._embed(self.adversary(first))
        return loss + self.alpha * self.contrast(anchor, adversary, self.temperature)

    def adversary(self, views: Tensor) -> Tensor:
        """One step up the loss of the views [B, 3, H, W] against themselves, in the branch in use.

        The step starts where the anchor is, so one encoding serves as both: the anchor's is the
        same, held constant.
        """

        def loss(attacked: Tensor) -> Tensor:
            embedding = self._embed(attacked)
            return self.contrast(embedding.detach(), embedding, self.temperature)

        with frozen(self):
            return ascend(loss, views, self.ball, steps=1, step_size=self.ball.eps)

    def _embed(self, images: Tensor) -> Tensor:
        embedding: Tensor = self.projector(self.encoder(images))
        return embedding
