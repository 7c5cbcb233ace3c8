"""Linear probes on features that are extracted once, since the images are not augmented."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from robench.contracts import Encoder, ProbeData, Run
from robench.probes._descent import Descending, linear_layer


@dataclass(frozen=True)
class OnFeatures(Descending):
    """A linear layer by cross-entropy on the features of both parts; the last epoch counts.

    A last, incomplete batch counts too, unless only ``whole_batches`` do.
    """

    whole_batches: ClassVar[bool] = False

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        inputs, labels = data.features(encoder, run)
        layer = linear_layer(inputs.shape[1], data.classes, run.device, generator)

        def loss(rows: Tensor) -> Tensor:
            return cross_entropy(layer(inputs[rows]), labels[rows])

        smallest = self.batch if self.whole_batches else 1
        self.descend(layer, loss, len(inputs), generator, run, smallest)
        return layer.requires_grad_(False)
