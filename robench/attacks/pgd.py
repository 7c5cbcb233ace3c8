"""Projected gradient descent on the cross-entropy (Madry et al. 2018, arXiv 1706.06083)."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from robench.contracts import Attack, Attacked, Run, Target
from robench.tensors.ascend import ascend
from robench.tensors.balls import Ball, ball
from robench.tensors.folding import fast_copy
from robench.tensors.modes import draw_seed, evaluating, frozen

_COMPARED = 8  # images that the fast copy is checked on; all of them would cost a step's time

STANDARD_STEPS = 20  # RoCL's evaluation, src/total_process.sh:19-20


@dataclass(frozen=True)
class PGD(Attack):
    """PGD from a random start, in ``norm`` "linf", "l2" or "l1".

    ``eps`` and ``step_size`` are in pixels of [0, 1]. The defaults are RoCL's evaluation: 20 steps
    of eps / 10 (a ``step_size`` of None), RoCL's src/total_process.sh:19-20. With several
    ``restarts`` each image keeps the first that fools the model, or else the last one.

    Notes ``few-steps`` under 20 steps, and where all of them do not cross the ball's radius.

    Raises ValueError for an unknown norm, an eps that is not positive (linf: or over 1), a step
    size that is not positive, and fewer than one step or restart.
    """

    eps: float = 8 / 255
    norm: str = "linf"
    steps: int = 20
    step_size: float | None = None
    restarts: int = 1

    def __post_init__(self) -> None:
        ball(self.norm, self.eps)
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is too few; give 1 or more")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise ValueError(
                f"step_size={self.step_size} is no length; give a positive one, or none for eps/10"
            )

    @property
    def length(self) -> float:
        """The length of a step in the ball's norm, in pixels of [0, 1]."""
        return self.eps / 10 if self.step_size is None else self.step_size

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    def passes(self, classes: int) -> tuple[float, float]:
        return float(self.steps), float(self.steps * self.restarts)

    def at_least_as_strong_as(self, other: Attack) -> bool:
        """Whether it has as many steps and restarts in the same ball, or it is as by default.

        With its standard steps it is stronger than any baseline in that ball.
        """
        if other.baseline and self.ball == other.ball:
            return self.steps >= STANDARD_STEPS
        # Not a subclass, which may do more. With tiny steps, more of them would not reach further.
        if type(other) is PGD and self.ball == other.ball and self.step_size is None:
            return self.steps >= other.steps and self.restarts >= other.restarts
        return super().at_least_as_strong_as(other)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        model = target.model
        images = images.contiguous()  # another layout would be drawn and rounded in another order
        with evaluating(model), frozen(model):
            quick = fast_copy(model, check_on=images[:_COMPARED])
            attacked = self._climb(quick, images, labels, generator)
            for _ in range(self.restarts - 1):
                with torch.no_grad():
                    standing = model(attacked).argmax(1) == labels
                if not standing.any():
                    break
                again = self._climb(quick, images[standing], labels[standing], generator)
                attacked[standing] = again
        short = self.steps * self.length < self.eps * (1 - 1e-9)  # beyond rounding
        return Attacked(attacked, ("few-steps",) if short or self.steps < STANDARD_STEPS else ())

    def _climb(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Tensor:
        def loss(attacked: Tensor) -> Tensor:
            return odds(model(attacked), labels)

        return ascend(
            loss,
            images,
            self.ball,
            steps=self.steps,
            step_size=self.length,
            # A seed for each climb: torchattacks, seeded so, starts from the same point.
            generator=Generator(images.device).manual_seed(draw_seed(generator)),
        )


def odds(logits: Tensor, labels: Tensor) -> Tensor:
    """The logarithm of the odds against each image's label, [B], whose softplus is cross-entropy.

    Its gradient is that of the cross-entropy times a positive number, so the steepest step is the
    same; but it does not vanish where the softmax saturates in float32.
    """
    true = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return (others.logsumexp(1, keepdim=True) - true)[:, 0]
