"""SimCLR, the contrastive baseline without any adversary (Chen et al. 2020, arXiv 2002.05709)."""

from typing import ClassVar

import torch
from torch import Generator, Tensor

from robench.contracts import Encoder, Objective
from robench.objectives.rocl import RoCL
from robench.recipe import Recipe
from robench.tensors.contrast import nt_xent
from robench.tensors.projector import projector
from robench.tensors.views import simclr_views


class Plain(Objective):
    """NT-Xent between two random views of each image (equation 1), both in one batch.

    Defaults are the SimCLR paper's for CIFAR-10 (appendix B.9): temperature 0.5, colour distortion
    of strength 0.5, no blur, a projector of 128 outputs whose hidden layer is as wide as the
    features (``hidden`` 0). ``crop`` is the smallest share of the image's area that a view shows.
    """

    # RoCL's schedule, so that the baseline has RoCL's budget
    # (src/argument.py:110-125, rocl_train.py:111-116).
    paper: ClassVar[Recipe] = RoCL.paper

    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float = 0.5,
        hidden: int = 0,
        output: int = 128,
        colour: float = 0.5,
        crop: float = 0.08,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be positive")
        self.encoder = encoder
        self.projector = projector(encoder.width, hidden, output)
        self.temperature = temperature
        self.augment = simclr_views(colour, crop)

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        views = torch.cat([self.augment(images, generator) for _ in range(2)])
        first, second = self.projector(self.encoder(views)).chunk(2)
        return nt_xent([first, second], self.temperature)
