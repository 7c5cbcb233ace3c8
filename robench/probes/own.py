"""The linear classifier that an encoder came with."""

from dataclasses import dataclass

from torch import Generator, nn

from robench.contracts import Encoder, Probe, ProbeData, ProbeError, Run


@dataclass(frozen=True)
class Own(Probe):
    """The encoder's own classifier, as `robench evaluate` stores it; nothing is fitted."""

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        raise ProbeError("the encoder came without a classifier of its own; use another probe")
