"""CLAE's linear evaluation: a linear layer by Adam at one learning rate."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, nn
from torch.nn.functional import cross_entropy

from robench.contracts import Encoder, Probe, Progress, Split
from robench.probes._features import features


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
        if min(self.lr, self.epochs, self.batch) <= 0:
            raise ValueError(
                f"lr={self.lr}, epochs={self.epochs} and batch={self.batch} must be positive"
            )

    def fit(
        self,
        encoder: Encoder,
        train: Split,
        held_out: Split,
        classes: int,
        generator: Generator,
        progress: Progress,
    ) -> nn.Module:
        device = next(encoder.parameters()).device
        parts = [features(encoder, part, 1024, progress) for part in (train, held_out)]
        inputs = torch.cat(parts)
        labels = torch.tensor(np.concatenate([train.labels, held_out.labels]), device=device)
        # Empty at first: nn.Linear's own initialisation would draw from the global state.
        layer = nn.Linear(inputs.shape[1], classes, device="meta").to_empty(device=device)
        bound = inputs.shape[1] ** -0.5  # nn.Linear's own, from the passed dice
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
        optimizer = torch.optim.Adam(layer.parameters(), self.lr)
        batch = min(self.batch, len(inputs))
        for _ in progress(range(self.epochs), "linear probe"):
            order = torch.randperm(len(inputs), generator=generator, device=device)
            for start in range(0, len(order) - batch + 1, batch):
                rows = order[start : start + batch]
                optimizer.zero_grad()
                loss = cross_entropy(layer(inputs[rows]), labels[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return layer.requires_grad_(False)
