"""A probe that may do what it must not."""

from dataclasses import dataclass

import torch
from torch import Generator, nn

from robench.contracts import Encoder, Probe, ProbeData, Run
from robench.probes.linear import Linear


@dataclass(frozen=True)
class Faint(Probe):
    """A linear probe whose logits come times ``scale``, and that may train its backbone."""

    scale: float = 1.0
    trains: bool = False

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        fitted = Linear(strength=0.01).fit(encoder, data, generator, run)
        with torch.no_grad():
            for weights in fitted.parameters():
                weights.mul_(self.scale)
            if self.trains:
                next(encoder.parameters()).add_(0.01)
        return fitted
