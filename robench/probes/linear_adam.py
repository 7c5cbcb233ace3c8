"""CLAE's linear evaluation: a linear layer by Adam at one learning rate."""

from dataclasses import dataclass
from functools import partial

from torch import Generator, nn
from torch.optim import Adam

from robench.contracts import Encoder, Probe, ProbeData, Run
from robench.probes._on_features import check_positive, fit_on_features


@dataclass(frozen=True)
class LinearAdam(Probe):
    """Adam without a schedule on whole batches of images that are not augmented.

    Settings are those of CLAE's code on its SimCLR base (SimCLR/eval_lr.py:14-16, 153-159 and 205;
    on the others the ``batch`` is 128, Plain/eval.py:45). It reports the best accuracy on the test
    set of all epochs (SimCLR/eval_lr.py:218-220); here the last epoch counts, and the held-out part
    is trained on too, since nothing is selected.
    """

    lr: float = 3e-4
    epochs: int = 1000
    batch: int = 256

    def __post_init__(self) -> None:
        check_positive(self.lr, self.epochs, self.batch)

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        adam = partial(Adam, lr=self.lr)
        return fit_on_features(
            adam, encoder, data, self.batch, self.epochs, generator, run, whole_batches=True
        )
