"""What the stages give to objectives and probes, for a single call."""

import torch
from torch import Generator, Tensor

from robench.contracts import Batch, Data, ProbeData, Run
from robench.engine.progress import silent

RUN = Run(silent)


def batch_of(images: Tensor, generator: Generator, labels: Tensor | None = None) -> Batch:
    """The first batch of a training of one epoch."""
    return Batch(images, torch.arange(len(images)), labels, 0, 1, 0.0, generator)


def probe_data(data: Data) -> ProbeData:
    """All but the test part."""
    return ProbeData(data.train, data.held_out, len(data.classes))
