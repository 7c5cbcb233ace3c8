"""PMA, a margin attack at a twentieth of AutoAttack's cost (Xie et al. 2024, arXiv 2411.15210)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor, nn

from robench.contracts import Attack, Attacked, Run, Target
from robench.tensors.ascend import ascend
from robench.tensors.balls import Ball, ball
from robench.tensors.folding import fast_copy
from robench.tensors.modes import evaluating, frozen


@dataclass(frozen=True)
class PMA(Attack):
    """Two climbs from random starts: half of each on one logit, half on the probability margin.

    The first climb begins by lowering the true class's logit, the second by raising the nearest
    other one; the steps fall from twice ``eps`` along a cosine in each half (MD.py:60-112 of the
    authors' code). An image is left alone once it is fooled. ``eps`` is in pixels of [0, 1];
    ``norm`` is "linf", "l2" or "l1". Raises ValueError for an unknown norm, an eps that is not
    positive (linf: or over 1), and fewer than two steps.
    """

    eps: float = 8 / 255
    norm: str = "linf"
    steps: int = 100

    def __post_init__(self) -> None:
        ball(self.norm, self.eps)
        if self.steps < 2:
            raise ValueError(f"steps={self.steps} is too few; give 2 or more")

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    def passes(self, classes: int) -> tuple[float, float]:
        return 1.0, 2.0 * self.steps

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        model, attacked = target.model, images.contiguous().clone()
        with evaluating(model), frozen(model), torch.no_grad():
            standing = model(attacked).argmax(1) == labels
            quick = fast_copy(model, check_on=images[:8])
            for climb in range(2):
                # All images draw, so that a draw depends on no other image's fate.
                starts = self.ball.sample(images.contiguous(), generator)
                self._climb(quick, climb, starts, images, labels, attacked, standing)
        return Attacked(attacked)

    def _climb(
        self,
        model: nn.Module,
        climb: int,
        starts: Tensor,
        images: Tensor,
        labels: Tensor,
        attacked: Tensor,
        standing: Tensor,
    ) -> None:
        """Move the ``standing`` images; those that are fooled on the way are kept in place."""
        rows, half = standing.nonzero().squeeze(1), self.steps // 2
        moved = starts[rows]
        for step in range(self.steps):
            if len(rows) == 0:
                return
            stage = _margin if step >= half else (_others if climb and step else _true)
            loss = partial(_of, stage, model, labels[rows])
            share = (step - half) / (self.steps - half) if step >= half else step / half
            moved = ascend(
                loss,
                images[rows],
                self.ball,
                steps=1,
                step_size=self.eps * (1 + math.cos(math.pi * share)),
                start=moved,
            )
            fooled = model(moved).argmax(1) != labels[rows]
            attacked[rows[fooled]] = moved[fooled]
            standing[rows[fooled]] = False
            rows, moved = rows[~fooled], moved[~fooled]


_Stage = Callable[[Tensor, Tensor], Tensor]


def _of(stage: _Stage, model: nn.Module, labels: Tensor, images: Tensor) -> Tensor:
    return stage(model(images), labels)


def _true(logits: Tensor, labels: Tensor) -> Tensor:
    return -logits.gather(1, labels[:, None])[:, 0]


def _others(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """A value, [B], with the gradient of the margin p_o - p_y over p_o, the largest other chance.

    Divided so, the gradient has a direction where a softmax saturates too.
    """
    others, true = _others(logits, labels), -_true(logits, labels)
    chances = logits.detach().softmax(1)
    ratios = (logits - others[:, None]).detach().exp().scatter(1, labels[:, None], 0)  # p_k / p_o
    moved = others - (chances * logits).sum(1)
    known = chances.gather(1, labels[:, None])[:, 0]
    return moved - known * (ratios * (true[:, None] - logits)).sum(1)
