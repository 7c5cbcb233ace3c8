"""Linear probes on features that are extracted once, since the images are not augmented."""

import warnings
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from robench.contracts import Encoder, Probe, ProbeData, Run, Split
from robench.probes._descent import check_positive, descend, linear_layer
from robench.tensors.features import extract, to_images
from robench.tensors.memory import is_out_of_memory, release


def features(encoder: Encoder, split: Split, batch: int, run: Run) -> Tensor:
    """The encoder's features of a split, float32 [n, D], made ``batch`` images at a time.

    When memory runs out, half as many at a time, with a warning: an image's features are its own,
    whatever else is in the batch, but for rounding.
    """
    starts = run.progress(range(0, len(split), batch), "features")
    return torch.cat(
        [_extracted(encoder, split.images[s : s + batch], batch, run.device) for s in starts]
    )


def _extracted(
    encoder: Encoder, rows: npt.NDArray[np.uint8], size: int, device: torch.device
) -> Tensor:
    while True:
        try:
            parts = (rows[i : i + size] for i in range(0, len(rows), size))
            return extract(encoder, (to_images(part, device) for part in parts))
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        release()
        size //= 2
        warnings.warn(f"out of memory: features are made {size} images at a time", stacklevel=2)


def all_labels(data: ProbeData, device: torch.device) -> Tensor:
    """The labels of both parts, int64 [n]."""
    labels = np.concatenate([data.train.labels, data.held_out.labels])
    return torch.tensor(labels, device=device)


@dataclass(frozen=True)
class OnFeatures(Probe):
    """A linear layer by cross-entropy on the features of both parts; the last epoch counts.

    A last, incomplete batch counts too, unless only ``whole_batches`` do.
    """

    falls: ClassVar[Sequence[int]] = ()
    whole_batches: ClassVar[bool] = False

    lr: float
    epochs: int
    batch: int

    def __post_init__(self) -> None:
        check_positive(self.lr, self.epochs, self.batch)

    @abstractmethod
    def optimizer(self, parameters: Iterable[Tensor]) -> Optimizer:
        """The optimizer of the layer."""

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        parts = [features(encoder, part, 1024, run) for part in (data.train, data.held_out)]
        inputs, labels = torch.cat(parts), all_labels(data, run.device)
        layer = linear_layer(inputs.shape[1], data.classes, run.device, generator)
        batch = min(self.batch, len(inputs))
        descend(
            self.optimizer(layer.parameters()),
            lambda rows: cross_entropy(layer(inputs[rows]), labels[rows]),
            len(inputs),
            batch,
            self.epochs,
            generator,
            run,
            f"{type(self).__name__} probe",
            falls=self.falls,
            smallest=batch if self.whole_batches else 1,
        )
        return layer.requires_grad_(False)
