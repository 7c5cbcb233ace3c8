"""RoCL's linear evaluation: a linear layer by SGD on its published schedule."""

from dataclasses import dataclass
from functools import partial

from torch import Generator, nn
from torch.optim import SGD

from robench.contracts import Encoder, Probe, ProbeData, Run
from robench.probes._on_features import check_positive, fit_on_features

FALLS = (31, 51, 101)
"""The epochs done when the learning rate falls: the authors' code counts from 0 and adjusts after
epochs 30, 50 and 100 (src/linear_eval.py:256-268, 303-308)."""


@dataclass(frozen=True)
class LinearSGD(Probe):
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

    def __post_init__(self) -> None:
        check_positive(self.lr, self.epochs, self.batch)

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        sgd = partial(SGD, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        return fit_on_features(
            sgd, encoder, data, self.batch, self.epochs, generator, run, falls=FALLS
        )
