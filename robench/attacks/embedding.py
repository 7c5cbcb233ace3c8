"""Moves an image's features away, without a label (layer6's ssl-robustness, arXiv 2407.12588)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from robench.contracts import Attack, Attacked, Run, Target
from robench.tensors.ascend import ascend
from robench.tensors.balls import Ball, ball
from robench.tensors.features import extract
from robench.tensors.modes import evaluating, frozen


@dataclass(frozen=True)
class Embedding(Attack):
    """PGD that maximises ||f(a) - f(x)||, the distance of the encoder's features, in the ball.

    ``eps`` and ``step_size`` (None: a quarter of eps) are in pixels of [0, 1]; ``norm`` is "linf",
    "l2" or "l1". The start is random, since at the image itself the distance has no gradient. It
    needs no label and knows no classifier, so what it leaves standing is no sign of masked
    gradients. Raises ValueError for an unknown norm, an eps or a step size that is not positive
    (linf: an eps over 1), and fewer than one step.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    eps: float = 8 / 255
    norm: str = "linf"
    steps: int = 20
    step_size: float | None = None

    def __post_init__(self) -> None:
        ball(self.norm, self.eps)
        if self.steps < 1 or not 0 < self.length < math.inf:
            raise ValueError(
                f"steps={self.steps} must be at least 1 and step_size={self.step_size} positive"
            )

    @property
    def length(self) -> float:
        """The length of a step in the ball's norm, in pixels of [0, 1]."""
        return self.eps / 4 if self.step_size is None else self.step_size

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    def passes(self, classes: int) -> tuple[float, float]:
        return float(self.steps), float(self.steps)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        assert target.encoder is not None
        encoder, images = target.encoder, images.contiguous()
        with evaluating(encoder), frozen(encoder):
            clean = extract(encoder, [images])
            made = ascend(
                lambda attacked: (encoder(attacked) - clean).flatten(1).square().sum(1),
                images,
                self.ball,
                steps=self.steps,
                step_size=self.length,
                generator=generator,
            )
        return Attacked(made)
