"""RoCL's robust linear evaluation (r-LE): the linear layer sees adversarial images only."""

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from robench.contracts import Checkpoints, Encoder, Progress, Split
from robench.probes._frozen import fit_layer
from robench.probes._layers import uniform_layer
from robench.probes._pgd import PGD
from robench.probes._resumable import Resumable
from robench.probes._training import Schedule, pixels


@dataclass(frozen=True)
class RobustLinear(Resumable):
    """RoCL's robust linear evaluation: SGD on PGD's images only; the encoder is frozen.

    RoCL's code (src/linear_eval.py:147-221 as src/total_process.sh:23 calls it: ``--adv_img`` and
    not ``--clean``) passes images without augmentation to cross-entropy PGD from a random start
    (src/attack_lib.py:50-94; its numbers are src/argument.py:80-88, where the help text says
    2/255 for the step), and the adversaries through the encoder in eval mode, which the attack
    does not leave. The schedule is that of its linear evaluation: the learning rate (README.md:33)
    falls after epochs 30, 50 and 100, counted from 0 (src/linear_eval.py:256-268). The last epoch
    counts and nothing is selected, so the held-out part is trained on too.
    """

    lr: float = 0.1
    epochs: int = 150
    batch: int = 1024
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay: str = "31,51,101"
    eps: float = 0.0314
    step_size: float = 0.007
    steps: int = 10

    def __post_init__(self) -> None:
        self._schedule()
        self._attack()

    def passes(self) -> float:
        return self.epochs * (self.steps + 0.5)  # half: forward only

    def resume(
        self,
        encoder: Encoder,
        train: Split,
        held_out: Split,
        classes: int,
        generator: Generator,
        progress: Progress,
        checkpoints: Checkpoints,
    ) -> nn.Module:
        device = next(encoder.parameters()).device
        layer = uniform_layer(encoder.width, classes, device, generator)
        model, attack = nn.Sequential(encoder, layer), self._attack()

        def see(images: Tensor, labels: Tensor) -> Tensor:
            return attack(model, images, labels, generator)

        known = pixels([train, held_out], device)
        return fit_layer(
            layer,
            encoder,
            known,
            see,
            self._schedule(),
            generator,
            progress,
            "robust linear probe",
            checkpoints,
        )

    def _attack(self) -> PGD:
        return PGD(self.eps, self.step_size, self.steps)

    def _schedule(self) -> Schedule:
        return Schedule(
            self.lr, self.epochs, self.batch, self.momentum, self.weight_decay, self.decay
        )
