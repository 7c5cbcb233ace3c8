"""Barlow Twins (Zbontar et al. 2021, arXiv 2103.03230)."""

from typing import Any

from torch import Tensor

from robench.contracts import Batch, Encoder, Objective
from robench.grid.recipe import Recipe
from robench.tensors.decorrelate import cross_correlation
from robench.tensors.learners import byol_views, normed_projector
from robench.tensors.optim import clipped_groups


class BarlowTwins(Objective):
    """How far the correlations of two views' outputs, over the batch, are from the identity.

    L = sum_i (1 - C_ii)^2 + ``lamda`` sum_{i != j} C_ij^2 (equation 1), where C correlates each
    output of the first view with each of the second; all of it times ``scale``.

    The authors give no settings for CIFAR. Schedule, views, sizes and ``scale`` are solo-learn's
    (scripts/pretrain/cifar/barlow.yaml at 9187ea3). ``lamda`` is 0.0051 in both codes (main.py:39
    at 8e8d317, the paper rounds it to 0.005); theirs has no ``scale``.
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
        lamda: float = 0.0051,
        scale: float = 0.1,
        hidden: int = 2048,
        output: int = 2048,
        crop: float = 0.08,
    ) -> None:
        super().__init__()
        if lamda < 0 or scale <= 0:
            raise ValueError(f"lamda={lamda} must not be negative and scale={scale} be positive")
        self.encoder = encoder
        self.projector = normed_projector(encoder.width, hidden, hidden, output)
        self.lamda, self.scale, self.augments = lamda, scale, byol_views(crop)

    def forward(self, batch: Batch) -> Tensor:
        views = [augment(batch.images, batch.generator) for augment in self.augments]
        first, second = (self.projector(self.encoder(view)) for view in views)
        correlations = cross_correlation(first, second)
        diagonal = correlations.diagonal()
        others = correlations.square().sum() - diagonal.square().sum()
        return self.scale * ((1 - diagonal).square().sum() + self.lamda * others)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return clipped_groups(self)
