"""No attack: clean accuracy is a column like any other."""

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from robench.contracts import Attack, Attacked
from robench.tensors.balls import Ball, Linf


@dataclass(frozen=True)
class Clean(Attack):
    """The null attack: it returns the images that it is given."""

    @property
    def ball(self) -> Ball:
        return Linf(0.0)

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Attacked:
        return Attacked(images)
