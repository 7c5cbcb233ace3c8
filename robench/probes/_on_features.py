"""Linear probes on features that are extracted once, since the images are not augmented."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from robench.contracts import Encoder, ProbeData, Run
from robench.probes._descent import Descending, joined, linear_layer
from robench.tensors.features import extract, to_images


def features(encoder: Encoder, data: ProbeData, batch: int, run: Run) -> tuple[Tensor, Tensor]:
    """Features, float32 [n, D], and labels [n] of both parts, made ``batch`` images at a time."""
    both = joined(data)
    starts = run.progress(range(0, len(both), batch), "features")
    parts = (to_images(both.images[start : start + batch], run.device) for start in starts)
    return extract(encoder, parts), torch.tensor(both.labels, device=run.device)


@dataclass(frozen=True)
class OnFeatures(Descending):
    """A linear layer by cross-entropy on the features of both parts; the last epoch counts.

    A last, incomplete batch counts too, unless only ``whole_batches`` do.
    """

    whole_batches: ClassVar[bool] = False

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        inputs, labels = features(encoder, data, 500, run)
        layer = linear_layer(inputs.shape[1], data.classes, run.device, generator)

        def loss(rows: Tensor) -> Tensor:
            return cross_entropy(layer(inputs[rows]), labels[rows])

        smallest = self.batch if self.whole_batches else 1
        self.descend(layer, loss, len(inputs), generator, run, smallest)
        return layer.requires_grad_(False)
