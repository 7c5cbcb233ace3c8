"""DeACL, a robust student of a teacher that is not (Zhang et al. 2022, arXiv 2207.10899)."""

import torch
from torch import Generator, Tensor

from robench.contracts import Batch, Encoder, Exported, Objective, Teacher
from robench.grid.recipe import Recipe
from robench.tensors.ascend import Climb
from robench.tensors.augment import crop_and_flip
from robench.tensors.contrast import mean_cosine
from robench.tensors.folding import folded


class DeACL(Objective):
    """The student is drawn to its teacher on clean images, and to itself on adversaries.

    -cos(s(x), t(x)) - beta cos(s(a), s(x)), with gradients to both sides of the second term. The
    adversary a of x climbs -cos(s(a), t(x)) by PGD from a random start, in eval mode; x and a are
    one BatchNorm batch (solo/methods/mocov2_distillation_AT.py:200-326, where beta is trades_k).

    The student starts from its teacher's weights, unless it starts from ``scratch``
    (base_for_adversarial_training.py:940-950). The authors' teacher is solo-learn's SimCLR, which
    is no longer to be had; ours is an encoder of the zoo, trained on the same data, or any method
    or key that ``teacher`` names. Their learning rate changes with each epoch, ours with each step.
    """

    # bash_files/DeACL_cifar10_resnet18.sh; its warm-up starts from 0.003.
    recipe = Recipe(
        epochs=100,
        batch=256,
        optimizer="sgd",
        lr=0.5,
        weight_decay=5e-4,
        warmup=10,
        warmup_start=0.006,
    )

    def __init__(
        self,
        encoder: Encoder,
        teacher: Teacher,
        *,
        beta: float = 2.0,
        eps: float = 8 / 255,
        step_size: float = 2 / 255,
        steps: int = 5,
        scratch: bool = False,
    ) -> None:
        super().__init__()
        if beta < 0:
            raise ValueError(f"beta={beta} must not be negative")
        self.encoder, self.teacher = encoder, teacher
        if not scratch:
            teacher.hand_over(encoder)
        self.beta, self.climb, self.augment = beta, Climb(eps, step_size, steps), crop_and_flip

    def forward(self, batch: Batch) -> Tensor:
        views = self.augment(batch.images, batch.generator)
        taught = self.teacher(views)
        attacked = self.adversary(views, taught, batch.generator)
        clean, moved = self.encoder(torch.cat([views, attacked])).chunk(2)
        return -mean_cosine(clean, taught) - self.beta * mean_cosine(moved, clean)

    def adversary(self, views: Tensor, taught: Tensor, generator: Generator) -> Tensor:
        """Views [B, 3, H, W] pushed away from the teacher's features [B, D]."""
        student = folded(self.encoder)
        return self.climb(
            lambda attacked: -mean_cosine(student(attacked), taught), views, generator
        )

    def exported(self) -> Exported:
        return Exported(self.encoder)
