"""No attack: clean accuracy is a column like any other."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from robench.contracts import Attack, Attacked, Run, Target


@dataclass(frozen=True)
class Clean(Attack):
    """The null attack: it returns the images that it is given."""

    needs: ClassVar[frozenset[str]] = frozenset()

    @property
    def ball(self) -> None:
        return None

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        return Attacked(images)
