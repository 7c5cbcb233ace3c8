"""CLAE's linear evaluation: a linear layer by Adam at one learning rate."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.optim import Adam

from robench.probes._on_features import OnFeatures


@dataclass(frozen=True)
class LinearAdam(OnFeatures):
    """Adam without a schedule on whole batches of images that are not augmented.

    Settings are those of CLAE's code on its SimCLR base (SimCLR/eval_lr.py:14-16, 153-159 and 205;
    on the others the ``batch`` is 128, Plain/eval.py:45). It reports the best accuracy on the test
    set of all epochs (SimCLR/eval_lr.py:218-220); here the last epoch counts, and the held-out part
    is trained on too, since nothing is selected.
    """

    whole_batches: ClassVar[bool] = True

    lr: float = 3e-4
    epochs: int = 1000
    batch: int = 256

    def optimizer(self, parameters: Iterable[Tensor]) -> Adam:
        return Adam(parameters, self.lr)
