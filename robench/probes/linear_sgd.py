"""RoCL's linear evaluation: a linear layer by SGD on its published schedule."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor
from torch.optim import SGD

from robench.probes._on_features import OnFeatures


@dataclass(frozen=True)
class LinearSGD(OnFeatures):
    """SGD with momentum, whose learning rate falls tenfold three times; the last epoch counts.

    RoCL's code (src/linear_eval.py:256-321, total_process.sh:17; lr as in README.md:33) passes
    images without augmentation through the frozen encoder in eval mode each epoch; their features
    never change, so they are extracted once. Nothing is selected, so the held-out part is trained
    on too.
    """

    lr: float = 0.1
    epochs: int = 150
    batch: int = 1024
    momentum: float = 0.9
    weight_decay: float = 5e-4

    @property
    def falls(self) -> tuple[int, ...]:
        # After epochs 30, 50 and 100, counted from 0 (src/linear_eval.py:256-268, 303-308).
        return (31, 51, 101)

    def optimizer(self, parameters: Iterable[Tensor]) -> SGD:
        return SGD(parameters, self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
