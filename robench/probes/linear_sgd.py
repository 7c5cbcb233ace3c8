"""RoCL's linear evaluation: a linear layer by SGD on its published schedule."""

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
from robench.probes._training import rate

FALLS = [31, 51, 101]
"""The epochs done when the learning rate falls: the authors' code counts from 0 and adjusts after
epochs 30, 50 and 100 (src/linear_eval.py:256-268, 303-308)."""


@dataclass(frozen=True)
class LinearSGD(Resumable):
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
        parts = [
            features(encoder, part, self.batch, progress, journal) for part in (train, held_out)
        ]
        inputs = torch.cat(parts)
        labels = torch.tensor(np.concatenate([train.labels, held_out.labels]), device=device)
        layer = uniform_layer(inputs.shape[1], classes, device, generator)
        optimizer = torch.optim.SGD(
            layer.parameters(), self.lr, momentum=self.momentum, weight_decay=self.weight_decay
        )
        taken = steps(
            len(inputs),
            range(0, len(inputs), self.batch),
            self.epochs,
            optimizer,
            list(layer.parameters()),
            generator,
            progress,
            "linear probe",
            journal.within(),
        )
        for epoch, rows, _ in taken:
            for group in optimizer.param_groups:
                group["lr"] = rate(self.lr, FALLS, epoch)
            optimizer.zero_grad()
            loss = cross_entropy(layer(inputs[rows]), labels[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return layer.requires_grad_(False)
