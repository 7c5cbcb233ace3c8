"""What the stages give to objectives and probes, for a single call; and a small encoder."""

import numpy as np
import torch
from torch import Generator, Tensor, nn

from robench.contracts import Batch, Data, Encoder, Objective, ProbeData, Run, TrainingSet
from robench.engine.progress import silent

RUN = Run(silent)


def batch_of(images: Tensor, generator: Generator, labels: Tensor | None = None) -> Batch:
    """The first batch of a training of one epoch."""
    return Batch(images, torch.arange(len(images)), labels, 0, 1, 0.0, generator)


def first_loss(objective: Objective, images: Tensor, generator: Generator) -> Tensor:
    """The loss of the first batch, which is all of the training set, as the stage gets it.

    Labels are of three classes, for an objective that uses them.
    """
    labels = torch.arange(len(images)) % 3 if objective.uses_labels else None
    known = TrainingSet(images.mul(255).round().to(torch.uint8), labels)
    objective.prepare(known, 0, generator, RUN)
    return objective(batch_of(images, generator, labels))


def probe_data(data: Data) -> ProbeData:
    """All but the test part."""
    return ProbeData.of(data)


def both_parts(data: Data) -> tuple[Tensor, Tensor]:
    """Images in [0, 1] and labels of the part to train on and the held-out part."""
    images = np.concatenate([data.train.images, data.held_out.images])
    labels = np.concatenate([data.train.labels, data.held_out.labels])
    return torch.tensor(images).float() / 255, torch.tensor(labels)


class Small(Encoder):
    """One convolution with BatchNorm, averaged over the image."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.width = 8

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images).mean((2, 3))
        return features


class Tiny(Encoder):
    """Two convolutions with BatchNorm; smooth, so that float64 tells every gradient apart."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, width, 3, stride=2, bias=False)
        self.norm2, self.width = nn.BatchNorm2d(width), width

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm1(self.first(images)).tanh()
        features: Tensor = self.norm2(self.second(x)).tanh().mean((2, 3))
        return features
