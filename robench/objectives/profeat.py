"""ProFeAT, DeACL with the teacher's projector (Addepalli et al. 2024, arXiv 2406.05796)."""

from torch import Generator, Tensor

from robench.contracts import Batch, Encoder, Exported, Objective, Teacher
from robench.grid.recipe import Recipe
from robench.tensors.ascend import Climb
from robench.tensors.augment import crop_and_flip
from robench.tensors.autoaugment import autoaugment
from robench.tensors.contrast import mean_cosine
from robench.tensors.folding import folded


class ProFeAT(Objective):
    """The student is drawn to its teacher in features and in what a frozen projector makes of them.

    With d(p, q) = -(1 - w) cos(p, q) - w cos(g(p), g(q)), where g is the teacher's projector and w
    its ``weight``: d(s(x'), t(x)) + beta d(s(a), s(x')) (pretraining.py:174-193). The teacher sees
    a crop and flip x, the student AutoAugment and another crop and flip x'. The adversary a of x'
    climbs -cos(s(a), s(x')) - cos(g(s(a)), g(t(x))) by PGD from a random start in eval mode
    (:136-160). The student starts from its teacher, unless it starts from ``scratch``.

    The numbers are those of train.sh, which is for a WRN-34-10 on CIFAR-100; the authors' values
    for a ResNet-18 on CIFAR-10 are not in their code. Their AutoAugment has other magnitudes and a
    grey border; ours is torchvision's, with a black one. Here x' and a are two BatchNorm batches,
    as there. Their cosine ends at a thousandth of the learning rate, ours at 0.
    """

    recipe = Recipe(
        epochs=100,
        batch=256,
        optimizer="sgd",
        lr=0.5,
        weight_decay=3e-4,
        warmup=10,
        warmup_start=0.02,
    )

    def __init__(
        self,
        encoder: Encoder,
        teacher: Teacher,
        *,
        beta: float = 8.0,
        weight: float = 0.5,
        eps: float = 8 / 255,
        step_size: float = 2 / 255,
        steps: int = 5,
        scratch: bool = False,
    ) -> None:
        super().__init__()
        if beta < 0 or not 0 <= weight <= 1:
            raise ValueError(f"beta={beta} must not be negative, and weight={weight} in [0, 1]")
        if teacher.projector is None:
            raise ValueError("its teacher needs a projector, as an encoder trained here has")
        self.encoder, self.teacher = encoder, teacher
        if not scratch:
            teacher.hand_over(encoder)
        self.beta, self.weight, self.climb = beta, weight, Climb(eps, step_size, steps)
        self.augment, self.strong = crop_and_flip, autoaugment

    def forward(self, batch: Batch) -> Tensor:
        views = self.augment(batch.images, batch.generator)
        strong = self.augment(self.strong(batch.images, batch.generator), batch.generator)
        taught, clean = self.teacher(views), self.encoder(strong)
        attacked = self.adversary(strong, clean.detach(), taught, batch.generator)
        return self._apart(clean, taught) + self.beta * self._apart(self.encoder(attacked), clean)

    def adversary(
        self, views: Tensor, clean: Tensor, taught: Tensor, generator: Generator
    ) -> Tensor:
        """Views [B, 3, H, W] pushed away from features and, projected, from the teacher's."""
        student, target = folded(self.encoder), self.shared(taught)

        def loss(attacked: Tensor) -> Tensor:
            moved = student(attacked)
            return -mean_cosine(moved, clean) - mean_cosine(self.shared(moved), target)

        return self.climb(loss, views, generator)

    def shared(self, features: Tensor) -> Tensor:
        """What the teacher's projector makes of features [B, D]."""
        projector = self.teacher.projector
        assert projector is not None
        embeddings: Tensor = projector(features)
        return embeddings

    def _apart(self, first: Tensor, second: Tensor) -> Tensor:
        projected = mean_cosine(self.shared(first), self.shared(second))
        return -(1 - self.weight) * mean_cosine(first, second) - self.weight * projected

    def exported(self) -> Exported:
        return Exported(self.encoder)
