"""RoCL's robust linear evaluation (r-LE): the linear layer sees adversarial images only."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor, nn

from robench.probes._on_images import OnAdversaries


@dataclass(frozen=True)
class RobustLinear(OnAdversaries):
    """RoCL's robust linear evaluation: SGD on PGD's images only; the encoder is frozen.

    RoCL's code (src/linear_eval.py:147-221 as src/total_process.sh:23 calls it: ``--adv_img`` and
    not ``--clean``) passes images without augmentation to cross-entropy PGD from a random start
    (src/attack_lib.py:50-94; its numbers are src/argument.py:80-88, where the help text says
    2/255 for the step), and the adversaries through the encoder in eval mode, which the attack
    does not leave. The schedule is that of its linear evaluation: the learning rate (README.md:33)
    falls after epochs 30, 50 and 100, counted from 0 (src/linear_eval.py:256-268). The last epoch
    counts and nothing is selected, so the held-out part is trained on too.
    """

    drawn: ClassVar[bool] = True

    lr: float = 0.1
    epochs: int = 150
    batch: int = 1024
    weight_decay: float = 5e-4
    decay: str = "31,51,101"
    eps: float = 0.0314
    step_size: float = 0.007

    def seen(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Tensor:
        return self.attacked(model, images, labels, generator)
