"""Linear probes on features that are extracted once, since the images are not augmented."""

import warnings
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from robench.contracts import Encoder, ProbeData, Run, Split
from robench.probes._descent import descend, linear_layer
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


def fit_on_features(
    optimizer: Callable[[Iterable[Tensor]], Optimizer],
    encoder: Encoder,
    data: ProbeData,
    batch: int,
    epochs: int,
    generator: Generator,
    run: Run,
    falls: tuple[int, ...] = (),
    whole_batches: bool = False,
) -> nn.Linear:
    """Train a linear layer by cross-entropy on the features of both parts.

    Nothing is selected: the last epoch counts. A last, incomplete batch counts too, unless only
    ``whole_batches`` do.
    """
    parts = [features(encoder, part, 1024, run) for part in (data.train, data.held_out)]
    inputs, labels = torch.cat(parts), all_labels(data, run.device)
    layer = linear_layer(inputs.shape[1], data.classes, run.device, generator)

    def loss(rows: Tensor) -> Tensor:
        return cross_entropy(layer(inputs[rows]), labels[rows])

    batch = min(batch, len(inputs))
    descend(
        optimizer(layer.parameters()),
        loss,
        len(inputs),
        batch,
        epochs,
        generator,
        run,
        "linear probe",
        falls=falls,
        smallest=batch if whole_batches else 1,
    )
    return layer.requires_grad_(False)


def check_positive(lr: float, epochs: int, batch: int) -> None:
    """Raise ValueError unless all are positive."""
    if min(lr, epochs, batch) <= 0:
        raise ValueError(f"lr={lr}, epochs={epochs} and batch={batch} must be positive")
