"""Images made on a surrogate, another model of the same classes (arXiv 1605.07277)."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Generator, Tensor

from robench.attacks.pgd import PGD
from robench.contracts import Attack, Attacked, Run, Target
from robench.tensors.balls import Ball, ball


@dataclass(frozen=True)
class Transfer(Attack):
    """PGD against a surrogate; where it beats PGD itself, gradients are masked.

    Without ``from``, the surrogates are the other methods of the run, which makes the black-box
    table: who is attacked down, whose images across. ``transfer(from=rocl)`` chooses one, and
    ``from`` the key of any encoder of the zoo. ``eps`` is in pixels of [0, 1]; ``norm`` is "linf",
    "l2" or "l1"; the steps are `PGD`'s.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels", "surrogate"})
    baseline: ClassVar[bool] = True
    eps: float = 8 / 255
    norm: str = "linf"
    steps: int = 20

    def __post_init__(self) -> None:
        PGD(self.eps, self.norm, self.steps)

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        assert target.surrogate is not None
        attack = PGD(self.eps, self.norm, self.steps)
        return attack(replace(target, model=target.surrogate), images, labels, generator, run)
