"""The linear classifier that an encoder came with."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, nn

from robench.contracts import Encoder, Probe, ProbeData, ProbeError, Run


@dataclass(frozen=True)
class Own(Probe):
    """The classifier that the encoder was trained with, or came with; nothing is fitted."""

    fits: ClassVar[bool] = False

    @property
    def compared(self) -> bool:
        return False

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        if data.head is None:
            raise ProbeError("the encoder came without a classifier for these data; use a probe")
        return data.head
