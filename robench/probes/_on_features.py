"""Linear probes on features that are extracted once, since the images are not augmented."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from robench.contracts import Encoder, ProbeData, Run
from robench.probes._descent import Descending, joined, linear_layer
from robench.tensors.features import extract, to_images
from robench.tensors.memory import is_out_of_memory, release


def features(encoder: Encoder, data: ProbeData, batch: int, run: Run) -> tuple[Tensor, Tensor]:
    """Features, float32 [n, D], and labels [n] of both parts, made ``batch`` images at a time.

    When memory runs out, half as many at a time, with a warning: an image's features are its own,
    whatever else is in the batch, but for rounding.
    """
    both = joined(data)
    starts = run.progress(range(0, len(both), batch), "features")
    parts = [_extracted(encoder, both.images[s : s + batch], run.device) for s in starts]
    return torch.cat(parts), torch.tensor(both.labels, device=run.device)


def _extracted(encoder: Encoder, images: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    size = len(images)
    while True:
        parts = (images[i : i + size] for i in range(0, len(images), size))
        try:
            return extract(encoder, (to_images(part, device) for part in parts))
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        release()
        size //= 2
        warnings.warn(f"out of memory: features are made {size} images at a time", stacklevel=2)


@dataclass(frozen=True)
class OnFeatures(Descending):
    """A linear layer by cross-entropy on the features of both parts; the last epoch counts.

    A last, incomplete batch counts too, unless only ``whole_batches`` do.
    """

    whole_batches: ClassVar[bool] = False

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        inputs, labels = features(encoder, data, 1024, run)
        layer = linear_layer(inputs.shape[1], data.classes, run.device, generator)

        def loss(rows: Tensor) -> Tensor:
            return cross_entropy(layer(inputs[rows]), labels[rows])

        smallest = self.batch if self.whole_batches else 1
        self.descend(layer, loss, len(inputs), generator, run, smallest)
        return layer.requires_grad_(False)
