"""Adversarial linear finetuning (ALF): standard linear finetuning on adversarial images."""

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from robench.contracts import Checkpoints, Encoder, Progress, Split
from robench.probes._frozen import fit_layer
from robench.probes._layers import zero_layer
from robench.probes._pgd import PGD
from robench.probes._resumable import Resumable
from robench.probes._training import Schedule, crop_and_flip, pixels


@dataclass(frozen=True)
class ALF(Resumable):
    """Adversarial linear finetuning: SGD on PGD's images only; the encoder is frozen.

    The defaults are DynACL's (test_LF.py:29-63), which RobustSSL keeps for CIFAR-10
    (Vanilla_Finetuning/utils.py:669-673, 805-841): crops and flips are replaced by their
    adversaries, ten steps of cross-entropy PGD from a random start (test_LF.py:157-162); the
    encoder stays in eval mode, the layer starts from zero, the last epoch counts. On CIFAR-100
    both take lr 0.05. Nothing is selected, so the held-out part is trained on too.
    """

    lr: float = 0.01
    epochs: int = 25
    batch: int = 512
    momentum: float = 0.9
    weight_decay: float = 2e-4
    decay: str = "10,20"
    eps: float = 8 / 255
    step_size: float = 2 / 255
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
        layer = zero_layer(encoder.width, classes, device)
        model, attack = nn.Sequential(encoder, layer), self._attack()

        def see(images: Tensor, labels: Tensor) -> Tensor:
            return attack(model, crop_and_flip(images, generator), labels, generator)

        known = pixels([train, held_out], device)
        return fit_layer(
            layer,
            encoder,
            known,
            see,
            self._schedule(),
            generator,
            progress,
            "alf probe",
            checkpoints,
        )

    def _attack(self) -> PGD:
        return PGD(self.eps, self.step_size, self.steps)

    def _schedule(self) -> Schedule:
        return Schedule(
            self.lr, self.epochs, self.batch, self.momentum, self.weight_decay, self.decay
        )
