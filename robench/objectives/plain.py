"""SimCLR, the contrastive baseline without any adversary (Chen et al. 2020, arXiv 2002.05709)."""

import torch
from torch import Tensor

from robench.contracts import Batch, Encoder, Exported, Objective
from robench.grid.recipe import Recipe
from robench.objectives.rocl import RoCL
from robench.tensors.learners import LEARNERS, learner

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

_RECIPES = {
    "rocl": RoCL.recipe,
    "clae": CLAE_SIMCLR,
    "plain": CLAE_INSTANCE,
    "uel": CLAE_INSTANCE,
}


class Plain(Objective):
    """NT-Xent between two random views of each image (equation 1), both in one batch.

    Defaults are the SimCLR paper's for CIFAR-10 (appendix B.9): temperature 0.5, colour distortion
    of strength 0.5, no blur, a projector of 128 outputs whose hidden layer is as wide as the
    features (``hidden`` 0). ``crop`` is the smallest share of the image's area that a view shows.

    Other bases are what the authors of the adversarial methods train without their adversary:
    "rocl" (RoCL's code, src/rocl_train.py:147-157), and CLAE's three branches: "clae" (its SimCLR),
    "plain" (InfoNCE in one direction) and "uel" (instance spreading). A number that is None is the
    base's own: ``hidden`` 2048 for rocl; ``colour`` 1.0 and ``output`` 64 for clae; ``temperature``
    0.1, ``colour`` 0.4 and ``crop`` 0.2 for plain and uel.
    """

    # google-research/simclr, README.md for CIFAR-10: lr 1.0 for each 256 images of a batch of 512
    # (run.py:45-65, model_util.py:56-77).
    recipe = Recipe(epochs=1000, batch=512, optimizer="lars", lr=2.0, weight_decay=1e-6, warmup=10)

    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float | None = None,
        hidden: int | None = None,
        output: int | None = None,
        colour: float | None = None,
        crop: float | None = None,
        base: str = "simclr",
    ) -> None:
        super().__init__()
        own = learner(base, LEARNERS, temperature, hidden, output, colour, crop)
        self.encoder = encoder
        self.projector = own.projector(encoder.width, own.hidden, own.output)
        self.temperature, self.contrast, self.joint = own.temperature, own.contrast, own.joint
        self.augment = own.views(own.colour, own.crop)
        self.recipe = _RECIPES.get(base, Plain.recipe)

    def forward(self, batch: Batch) -> Tensor:
        views = [self.augment(batch.images, batch.generator) for _ in range(2)]
        if self.joint:
            first, second = self.projector(self.encoder(torch.cat(views))).chunk(2)
        else:
            first, second = (self.projector(self.encoder(view)) for view in views)
        return self.contrast(first, second, self.temperature)

    def exported(self) -> Exported:
        return Exported(self.encoder, projector=self.projector)
