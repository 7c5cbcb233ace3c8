"""Square (Andriushchenko et al. 2020, arXiv 1912.00049), the last attack of AutoAttack."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Generator, Tensor

from robench.attacks._official import STANDARD_QUERIES, OfficialAttack
from robench.contracts import Attacked, Run, Target


@dataclass(frozen=True)
class Square(OfficialAttack):
    """Square, a random search without gradients; ``queries`` is the most per image.

    ``eps`` is in pixels of [0, 1]; ``norm`` is "linf", "l2" or "l1". Notes ``few-queries`` under
    5,000. Raises ValueError for fewer than one query.
    """

    members: ClassVar[tuple[str, ...]] = ("square",)
    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    queries: int = STANDARD_QUERIES

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries < 1:
            raise ValueError(f"queries={self.queries} is too few; give 1 or more")

    def adjust(self, package: Any) -> None:
        package.square.n_queries = self.queries

    def passes(self, classes: int) -> tuple[float, float]:
        return 1.0, self.queries / 3

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        made = super().__call__(target, images, labels, generator, run)
        few = ("few-queries",) if self.queries < STANDARD_QUERIES else ()
        return made._replace(notes=(*made.notes, *few))
