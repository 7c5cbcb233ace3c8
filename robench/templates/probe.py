"""My probe: a linear classifier from the mean feature of each class."""

from dataclasses import dataclass

import torch
from torch import Generator, nn

from robench.contracts import Encoder, Probe, ProbeData, Run


@dataclass(frozen=True)
class MyProbe(Probe):
    """The class whose mean feature is nearest: `robench ls probes` shows this line."""

    # An argument has a type and a default, and is typed as --probes "my_probe(shrink=0.1)".
    shrink: float = 0.0

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        # The encoder is frozen. Its features [n, D] and labels [n] are of the images to train on,
        # and after these of those held out, which selections of any setting are made on.
        features, labels = data.features(encoder, run)
        features, labels = features[: len(data.train)], labels[: len(data.train)]
        overall = features.mean(0)
        layer = nn.Linear(encoder.width, data.classes, device=run.device)
        with torch.no_grad():
            for one in range(data.classes):
                mean = features[labels == one].mean(0) if (labels == one).any() else overall
                mean = (1 - self.shrink) * mean + self.shrink * overall
                layer.weight[one] = 2 * mean  # |f - m|^2 is smallest where 2 f m - |m|^2 is largest
                layer.bias[one] = -mean.square().sum()
        # A module other than nn.Linear needs rebuild(), which makes it again from its weights.
        return layer
