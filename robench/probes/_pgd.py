"""Projected gradient descent on the cross-entropy, as adversarial training uses it."""

from dataclasses import dataclass

from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from robench.tensors.ascend import ascend
from robench.tensors.balls import ball


@dataclass(frozen=True)
class PGD:
    """Cross-entropy PGD from a random start in the Linf ball, as training uses it.

    ``eps`` and ``step_size`` are in pixels of [0, 1]. Raises ValueError for values out of range.
    """

    eps: float
    step_size: float
    steps: int

    def __post_init__(self) -> None:
        ball("linf", self.eps)
        if self.step_size <= 0 or self.steps < 1:
            raise ValueError(
                f"step_size={self.step_size} must be positive and steps={self.steps} at least 1"
            )

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Tensor:
        """Adversaries of ``images`` [B, 3, H, W]; ``model`` maps images to logits."""
        return ascend(
            lambda attacked: cross_entropy(model(attacked), labels, reduction="sum"),
            images,
            ball("linf", self.eps),
            steps=self.steps,
            step_size=self.step_size,
            generator=generator,
        )
