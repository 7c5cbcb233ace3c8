"""Attacks that see no gradient of the model; where they do better, gradients are masked."""

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from robench.contracts import Attack, Attacked
from robench.tensors.balls import Ball, Linf
from robench.tensors.modes import draw_seed, evaluating, frozen, preserved_random_state


@dataclass(frozen=True)
class Transfer(Attack):
    """The images that another attack makes against a surrogate model."""

    surrogate: nn.Module
    made_by: Attack

    @property
    def ball(self) -> Ball:
        return self.made_by.ball

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Attacked:
        return self.made_by(self.surrogate, images, labels, generator)


@dataclass(frozen=True)
class Square(Attack):
    """Square in linf (Andriushchenko et al. 2020, arXiv 1912.00049), by the official package.

    ``queries`` are at most how often it looks at an image; AutoAttack's Square has 5000.
    """

    eps: float
    queries: int

    @property
    def ball(self) -> Ball:
        return Linf(self.eps)

    def passes(self, classes: int) -> tuple[float, float]:
        return 1.0, float(self.queries)

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Attacked:
        from pyautoattack.square import SquareAttack

        seed = draw_seed(generator)
        with evaluating(model), frozen(model), preserved_random_state():
            official = SquareAttack(
                model, norm="Linf", n_queries=self.queries, eps=self.eps, seed=seed
            )
            official.device = images.device
            return Attacked(official.perturb(images.contiguous(), labels).detach())
