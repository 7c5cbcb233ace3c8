"""SimCLR, the contrastive baseline without any adversary (Chen et al. 2020, arXiv 2002.05709)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robench.contracts import Argument, Encoder, Objective, on_its_base
from robench.grid.recipe import Recipe
from robench.objectives.rocl import RoCL
from robench.tensors.bases import base_of

# CLAE's code where its --adv is not given, on each of its three bases.
CLAE_SIMCLR = Recipe(epochs=100, batch=256, optimizer="adam", lr=3e-4, schedule="constant")
"""SimCLR/main.py:16-24 and model.py:20-21: no schedule, no weight decay."""

CLAE_INSTANCE = Recipe(
    epochs=301,
    batch=128,
    optimizer="sgd",
    lr=0.03,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="steps",
    falls=((120, 0.1), (160, 0.05), (200, 0.01)),
)
"""Plain/main.py:25-40, 188-200 and 248, and the same lines of UEL/main.py but a few on."""


class Plain(Objective):
    """NT-Xent between two random views of each image (equation 1), both in one batch.

    Defaults are the SimCLR paper's for CIFAR-10 (appendix B.9): temperature 0.5, colour distortion
    of strength 0.5, no blur, a projector of 128 outputs whose hidden layer is as wide as the
    features (``hidden`` 0). ``crop`` is the smallest share of the image's area that a view shows.

    Other bases are what the authors of the adversarial methods train without their adversary:
    "rocl" (RoCL's code, src/rocl_train.py:147-157), and CLAE's three branches: "clae" (its SimCLR),
    "plain" (InfoNCE in one direction) and "uel" (instance spreading). ``bases`` has the defaults
    that each of them changes.
    """

    # RoCL's schedule, so that the baseline has RoCL's budget
    # (src/argument.py:110-125, rocl_train.py:111-116).
    paper: ClassVar[Recipe] = RoCL.paper
    later: ClassVar[tuple[str, ...]] = ("base",)
    bases: ClassVar[Mapping[str, Mapping[str, Argument]]] = {
        "simclr": {},
        # src/models/projector.py:9-10.
        "rocl": {"hidden": 2048},
        # SimCLR/main.py:22, modules/transformations/simclr.py:11.
        "clae": {"colour": 1.0, "output": 64},
        # Plain/main.py:34-37 and 128-133, UEL/main.py:35-38 and 113-118.
        "plain": {"temperature": 0.1, "colour": 0.4, "crop": 0.2},
        "uel": {"temperature": 0.1, "colour": 0.4, "crop": 0.2},
    }

    @on_its_base
    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float = 0.5,
        hidden: int = 0,
        output: int = 128,
        colour: float = 0.5,
        crop: float = 0.08,
        base: str = "simclr",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be positive")
        made = base_of(base, tuple(self.bases))
        self.encoder = encoder
        self.projector = made.projector(encoder.width, hidden, output)
        self.temperature, self.contrast, self.joint = temperature, made.contrast, made.joint
        self.augment = made.views(colour, crop)

    @classmethod
    def schedule(cls, arguments: Mapping[str, Argument]) -> Recipe:
        """The schedule of the code that the base comes from."""
        match arguments["base"]:
            case "clae":
                return CLAE_SIMCLR
            case "plain" | "uel":
                return CLAE_INSTANCE
        return cls.paper

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        views = [self.augment(images, generator) for _ in range(2)]
        if self.joint:
            first, second = self.projector(self.encoder(torch.cat(views))).chunk(2)
        else:
            first, second = (self.projector(self.encoder(view)) for view in views)
        return self.contrast(first, second, self.temperature)
