"""Adversarial linear finetuning (ALF): standard linear finetuning on adversarial images."""

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from robench.probes._on_images import PGD, OnImages, crop_and_flip


@dataclass(frozen=True)
class ALF(OnImages):
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
    decay: str = "10,20"
    eps: float = 8 / 255
    step_size: float = 2 / 255
    steps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        PGD(self.eps, self.step_size, self.steps)

    def seen(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Tensor:
        attack = PGD(self.eps, self.step_size, self.steps)
        return attack(model, crop_and_flip(images, generator), labels, generator)
