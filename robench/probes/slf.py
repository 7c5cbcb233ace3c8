"""Standard linear finetuning (SLF), the field's linear probe for adversarial pretraining."""

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from robench.contracts import Checkpoints, Encoder, Progress, Split
from robench.probes._frozen import fit_layer
from robench.probes._layers import zero_layer
from robench.probes._resumable import Resumable
from robench.probes._training import Schedule, crop_and_flip, pixels


@dataclass(frozen=True)
class SLF(Resumable):
    """Standard linear finetuning: SGD on crops and flips of clean images; the encoder is frozen.

    The defaults are DynACL's (test_LF.py:29-63), which RobustSSL keeps for CIFAR-10
    (Vanilla_Finetuning/utils.py:805-841): the encoder in eval mode (:140, 161), a layer that
    starts from zero (:334-335), the last epoch. On CIFAR-100 both take lr 0.05; AdvCL decays at
    "15,20". Nothing is selected, so the held-out part is trained on too.
    """

    lr: float = 0.01
    epochs: int = 25
    batch: int = 512
    momentum: float = 0.9
    weight_decay: float = 2e-4
    decay: str = "10,20"

    def __post_init__(self) -> None:
        self._schedule()

    def passes(self) -> float:
        return self.epochs * 0.5  # forward only

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

        def see(images: Tensor, labels: Tensor) -> Tensor:
            return crop_and_flip(images, generator)

        known = pixels([train, held_out], device)
        return fit_layer(
            layer,
            encoder,
            known,
            see,
            self._schedule(),
            generator,
            progress,
            "slf probe",
            checkpoints,
        )

    def _schedule(self) -> Schedule:
        return Schedule(
            self.lr, self.epochs, self.batch, self.momentum, self.weight_decay, self.decay
        )
