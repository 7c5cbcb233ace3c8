"""One step along the gradient (Goodfellow et al. 2015, arXiv 1412.6572)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from robench.attacks.pgd import odds
from robench.contracts import Attack, Attacked, Run, Target
from robench.tensors.ascend import ascend
from robench.tensors.balls import Ball, ball
from robench.tensors.folding import fast_copy
from robench.tensors.modes import evaluating, frozen


@dataclass(frozen=True)
class FGSM(Attack):
    """The fast gradient sign method: one step of the cross-entropy, from the image to the edge.

    ``eps`` is in pixels of [0, 1]; ``norm`` is "linf", "l2" (the fast gradient method) or "l1".
    Notes ``few-steps``: a network may resist one step and no more. Raises ValueError for an unknown
    norm or an eps that is not positive (linf: or over 1).
    """

    baseline: ClassVar[bool] = True
    eps: float = 8 / 255
    norm: str = "linf"

    def __post_init__(self) -> None:
        ball(self.norm, self.eps)

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        images = images.contiguous()
        with evaluating(target.model), frozen(target.model):
            quick = fast_copy(target.model, check_on=images[:8])
            made = ascend(
                lambda attacked: odds(quick(attacked), labels),
                images,
                self.ball,
                steps=1,
                step_size=self.eps,
            )
        return Attacked(made, ("few-steps",))
