"""CLAE on its three bases (Ho & Vasconcelos 2020, arXiv 2010.12050)."""

import math

from torch import Tensor

from robench.contracts import Batch, Encoder, Exported, Objective
from robench.objectives.plain import CLAE_INSTANCE, CLAE_SIMCLR
from robench.tensors.ascend import ascend
from robench.tensors.balls import Linf
from robench.tensors.batchnorm import ADVERSARIAL, add_branch, through_branch
from robench.tensors.learners import LEARNERS, learner
from robench.tensors.modes import frozen

_BASES = {"simclr": LEARNERS["clae"], "plain": LEARNERS["plain"], "uel": LEARNERS["uel"]}


class CLAE(Objective):
    """NT-Xent between two views, plus ``alpha`` times that of the first and its adversary.

    The adversary is one signed gradient step of size ``eps`` from the first view that raises its
    NT-Xent against that same view, with the whole batch as negatives (SimCLR/main.py:48-61).
    Adversaries have BatchNorm statistics of their own, with ``momentum``, in train mode for both
    the step and the loss; features for evaluation come from the clean ones.

    A number that is None is the base's own. Those of "simclr" are the authors' code's
    (SimCLR/main.py:22-40, run_cifar10.sh): temperature 0.5, colour 1.0, crop 0.08, output 64. Its
    eps 0.03 is in units of images normalised with a standard deviation of 0.5, that is 0.015 in
    pixels of [0, 1]; and it does not ``clamp`` the adversary to the pixel range.

    On the bases "plain" and "uel" InfoNCE in one direction (Plain/main.py:57-83, 219-227) and the
    instance-spreading loss (UEL/main.py:58-69, 214-226) take NT-Xent's place, in the step too, with
    temperature 0.1, colour 0.4, crop 0.2 and output 128. Their 0.03 is in units of the standard
    deviation of each channel: 0.03 times its mean over the channels, 0.2009, is 0.006027 in pixels.
    """

    recipe = CLAE_SIMCLR

    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float | None = None,
        eps: float | None = None,
        alpha: float = 1.0,
        momentum: float = 0.01,
        clamp: bool = False,
        hidden: int | None = None,
        output: int | None = None,
        colour: float | None = None,
        crop: float | None = None,
        base: str = "simclr",
    ) -> None:
        super().__init__()
        own = learner(base, _BASES, temperature, hidden, output, colour, crop)
        if eps is None:
            eps = 0.015 if base == "simclr" else 0.006027  # Plain/main.py:49, UEL/main.py:50
        if not 0 < eps <= 1 or not 0 < momentum <= 1:
            raise ValueError(f"eps={eps} and momentum={momentum} must be in (0, 1]")
        add_branch(encoder, ADVERSARIAL, momentum)
        self.encoder = encoder
        self.projector = own.projector(encoder.width, own.hidden, own.output)
        self.temperature, self.alpha, self.contrast = own.temperature, alpha, own.contrast
        self.ball = Linf(eps, pixels=(0.0, 1.0) if clamp else (-math.inf, math.inf))
        self.augment = own.views(own.colour, own.crop)
        self.recipe = CLAE_SIMCLR if base == "simclr" else CLAE_INSTANCE

    def forward(self, batch: Batch) -> Tensor:
        first, second = (self.augment(batch.images, batch.generator) for _ in range(2))
        anchor = self._embed(first)
        loss = self.contrast(anchor, self._embed(second), self.temperature)
        with through_branch(self.encoder, ADVERSARIAL):
            adversary = self._embed(self.adversary(first))
        return loss + self.alpha * self.contrast(anchor, adversary, self.temperature)

    def exported(self) -> Exported:
        return Exported(self.encoder, projector=self.projector)

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
