"""Standard linear finetuning (SLF), the field's linear probe for adversarial pretraining."""

from dataclasses import dataclass

from robench.probes._on_images import OnImages


@dataclass(frozen=True)
class SLF(OnImages):
    """Standard linear finetuning: SGD on crops and flips of clean images; the encoder is frozen.

    The defaults are DynACL's (test_LF.py:29-63), which RobustSSL keeps for CIFAR-10
    (Vanilla_Finetuning/utils.py:805-841): the encoder in eval mode (:140, 161), a layer that
    starts from zero (:334-335), the last epoch. On CIFAR-100 both take lr 0.05; AdvCL decays at
    "15,20". Nothing is selected, so the held-out part is trained on too.
    """

    lr: float = 0.01
    epochs: int = 25
    batch: int = 512
    decay: str = "10,20"
