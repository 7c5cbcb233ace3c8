"""CLAE's linear evaluation: a linear layer by Adam at one learning rate."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, nn
from torch.nn.functional import cross_entropy

from robench.contracts import Checkpoints, Encoder, Progress, Split
from robench.journal import Journal
from robench.probes._features import features
from robench.probes._layers import uniform_layer
from robench.probes._resumable import Resumable
from robench.probes._steps import steps


@dataclass(frozen=True)
class LinearAdam(Resumable):
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
        if min(self.lr, self.epochs, self.batch) <= 0:
            raise ValueError(
                f"lr={self.lr}, epochs={self.epochs} and batch={self.batch} must be positive"
            )

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
        journal = Journal(checkpoints)
        device = next(encoder.parameters()).device
        parts = [features(encoder, part, 1024, progress, journal) for part in (train, held_out)]
        inputs = torch.cat(parts)
        labels = torch.tensor(np.concatenate([train.labels, held_out.labels]), device=device)
        layer = uniform_layer(inputs.shape[1], classes, device, generator)
        optimizer = torch.optim.Adam(layer.parameters(), self.lr)
        batch = min(self.batch, len(inputs))
        taken = steps(
            len(inputs),
            range(0, len(inputs) - batch + 1, batch),
            self.epochs,
            optimizer,
            list(layer.parameters()),
            generator,
            progress,
            "linear probe",
            journal.within(),
        )
        for _, rows, _ in taken:
            optimizer.zero_grad()
            loss = cross_entropy(layer(inputs[rows]), labels[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return layer.requires_grad_(False)
