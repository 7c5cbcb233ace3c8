"""Random noise of an attack's radius: a robust-looking number must be far below its accuracy."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from robench.contracts import Attack, Attacked, Run, Target
from robench.tensors.balls import Ball, ball


@dataclass(frozen=True)
class Noise(Attack):
    """One random point of the ball, where `PGD` begins: it knows neither the model nor the label.

    ``eps`` is in pixels of [0, 1]; ``norm`` is "linf", "l2" or "l1". Raises ValueError for an
    unknown norm or an eps that is not positive (linf: or over 1).
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    baseline: ClassVar[bool] = True
    eps: float = 8 / 255
    norm: str = "linf"

    def __post_init__(self) -> None:
        ball(self.norm, self.eps)

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    def passes(self, classes: int) -> tuple[float, float]:
        return 0.0, 0.0

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        return Attacked(self.ball.sample(images.contiguous(), generator))
