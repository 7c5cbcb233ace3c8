"""My attack: steps along the gradient of the cross-entropy, within a ball around each image."""

from dataclasses import dataclass

from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from robench.contracts import Attack, Attacked, Run, Target
from robench.tensors.ascend import ascend
from robench.tensors.balls import Ball, ball


@dataclass(frozen=True)
class MyAttack(Attack):
    """Projected gradient ascent: `robench ls attacks` shows this line."""

    # --eps and --norm set the first two; eps is in pixels of [0, 1]. An attack without them has a
    # ball of None. One that uses no gradients of the model says so: needs = frozenset({"labels"}).
    eps: float = 8 / 255
    norm: str = "linf"
    steps: int = 20

    def __post_init__(self) -> None:
        ball(self.norm, self.eps)  # refuses an unknown norm and a radius out of range
        if self.steps < 1:
            raise ValueError(f"steps={self.steps} is too few; give 1 or more")

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    def passes(self, classes: int) -> tuple[float, float]:
        return float(self.steps), float(self.steps)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        # Images are float32 [B, 3, H, W] in [0, 1], the model maps them to logits [B, classes] and
        # is in eval mode. It stays as it is, and every random draw is from the generator.
        made = ascend(
            lambda attacked: cross_entropy(target.model(attacked), labels, reduction="sum"),
            images,
            self.ball,
            steps=self.steps,
            step_size=self.eps / 10,
            generator=generator,
        )
        return Attacked(made)
