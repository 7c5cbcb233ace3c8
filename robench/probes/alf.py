"""Adversarial linear finetuning (ALF): standard linear finetuning on adversarial images."""

from dataclasses import dataclass

from robench.probes._on_images import OnAdversaries


@dataclass(frozen=True)
class ALF(OnAdversaries):
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
