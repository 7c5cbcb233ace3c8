"""BYOL (Grill et al. 2020, arXiv 2006.07733)."""

from typing import Any

import torch
from torch import Tensor, nn

from robench.contracts import Batch, Encoder, Objective
from robench.grid.recipe import Recipe
from robench.tensors.contrast import mean_cosine
from robench.tensors.learners import byol_views, normed_projector
from robench.tensors.momentum import follow, follower, rising
from robench.tensors.optim import clipped_groups


class BYOL(Objective):
    """The distance of one view's prediction from the other's projection by a moving average.

    L = 2 - 2 cos(q(z1), z2') plus the same with the views exchanged (equation 2); z' comes from a
    copy of encoder and projector whose weights follow after each step, with a ``momentum`` that
    climbs to 1 by half a cosine (section 3.2). Nothing pushes images apart.

    The authors give no settings for CIFAR. Schedule, views and sizes are solo-learn's
    (scripts/pretrain/cifar/byol.yaml at 9187ea3); layers have biases where the authors' have them
    (byol/utils/networks.py: not the last ones), where solo-learn's last ones have them too.
    """

    recipe = Recipe(
        epochs=1000,
        batch=256,
        optimizer="lars",
        lr=1.0,
        weight_decay=1e-5,
        warmup=10,
        warmup_start=3e-5,
    )

    def __init__(
        self,
        encoder: Encoder,
        *,
        momentum: float = 0.99,
        hidden: int = 4096,
        output: int = 256,
        crop: float = 0.08,
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum={momentum} must be in [0, 1]")
        self.encoder = encoder
        self.projector = normed_projector(encoder.width, hidden, output)
        self.predictor = normed_projector(output, hidden, output)
        self.target = follower(nn.Sequential(encoder, self.projector))
        self.momentum, self.augments = momentum, byol_views(crop)

    def forward(self, batch: Batch) -> Tensor:
        views = [augment(batch.images, batch.generator) for augment in self.augments]
        predicted = [self.predictor(self.projector(self.encoder(view))) for view in views]
        with torch.no_grad():
            targets = [self.target(view) for view in reversed(views)]
        cosines = map(mean_cosine, predicted, targets)
        return 4 - 2 * torch.stack(list(cosines)).sum()

    def after_step(self, batch: Batch) -> None:
        online = nn.Sequential(self.encoder, self.projector)
        follow(self.target, online, rising(self.momentum, batch.progress))

    def parameter_groups(self) -> list[dict[str, Any]]:
        return clipped_groups(self)
