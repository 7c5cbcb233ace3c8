"""VICReg (Bardes, Ponce & LeCun 2022, arXiv 2105.04906)."""

from typing import Any

import torch
from torch import Tensor

from robench.contracts import Batch, Encoder, Objective
from robench.grid.recipe import Recipe
from robench.tensors.augment import Augment
from robench.tensors.contrast import precise
from robench.tensors.decorrelate import narrowness, redundancy
from robench.tensors.learners import normed_projector
from robench.tensors.optim import clipped_groups


class VICReg(Objective):
    """Invariance between two views, and variance and covariance of each over the batch.

    L = ``invariance`` s(Z, Z') + ``variance`` (v(Z) + v(Z')) + ``covariance`` (c(Z) + c(Z'))
    (equation 6): s is the mean squared difference, v the mean over the outputs of
    max(0, 1 - standard deviation), and c the sum of the squared covariances between two outputs, by
    the number of outputs.

    The sum is the paper's (equation 6 and algorithm 1) and solo-learn's; the authors' code halves
    v(Z) + v(Z') (main_vicreg.py:207 at 4e12602). They give no settings for CIFAR: schedule, views
    and sizes are solo-learn's (scripts/pretrain/cifar/vicreg.yaml at 9187ea3).
    """

    recipe = Recipe(
        epochs=1000,
        batch=256,
        optimizer="lars",
        lr=0.3,
        weight_decay=1e-4,
        warmup=10,
        warmup_start=1e-4,  # 3e-5, from solo/methods/base.py:292
    )

    def __init__(
        self,
        encoder: Encoder,
        *,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        hidden: int = 2048,
        output: int = 2048,
        crop: float = 0.2,
    ) -> None:
        super().__init__()
        self.weights = invariance, variance, covariance
        if min(self.weights) < 0:
            given = f"invariance={invariance}, variance={variance}, covariance={covariance}"
            raise ValueError(f"{given}: no weight may be negative")
        self.encoder = encoder
        self.projector = normed_projector(encoder.width, hidden, hidden, output)
        order = ("crop", "jitter", "grayscale", "solarize", "flip")
        jitter = (0.4, 0.4, 0.2, 0.1)
        view = Augment((crop, 1.0), jitter=jitter, order=order, solarize=0.1)
        self.augments = view, view

    def forward(self, batch: Batch) -> Tensor:
        views = [augment(batch.images, batch.generator) for augment in self.augments]
        first, second = (self.projector(self.encoder(view)) for view in views)
        with torch.autocast(first.device.type, enabled=False):
            distance = (precise(first) - precise(second)).square().mean()
        spread = narrowness(first) + narrowness(second)
        overlap = redundancy(first) + redundancy(second)
        invariance, variance, covariance = self.weights
        return invariance * distance + variance * spread + covariance * overlap

    def parameter_groups(self) -> list[dict[str, Any]]:
        return clipped_groups(self)
