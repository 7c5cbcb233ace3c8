"""Probes by SGD that see every image anew in each epoch: augmented, attacked, or both."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from robench.contracts import Encoder, ProbeData, Run, Split
from robench.probes._descent import Descending, linear_layer
from robench.tensors.ascend import Climb
from robench.tensors.augment import crop_and_flip
from robench.tensors.modes import evaluating, frozen, full_precision


@dataclass(frozen=True)
class OnImages(Descending):
    """SGD with momentum; the learning rate falls tenfold after each epoch that ``decay`` lists.

    ``decay`` counts the epochs done, between commas as the field's code takes them: "15,20", or ""
    for a constant rate. Raises ValueError for a list of another form, or a value out of range.
    """

    drawn: ClassVar[bool] = False
    """Whether the layer is drawn at first as torch's are; else it is zero."""

    momentum: float = 0.9
    weight_decay: float = 2e-4
    decay: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1 or self.weight_decay < 0:
            raise ValueError(
                f"momentum={self.momentum} must be in [0, 1) and "
                f"weight_decay={self.weight_decay} not negative"
            )
        # One form only: another spelling would be another question with the same answer.
        written = re.fullmatch(r"([1-9]\d*(,[1-9]\d*)*)?", self.decay)
        if not written or self.falls != sorted(set(self.falls)):
            raise ValueError(
                f"decay='{self.decay}' should be ascending epochs with commas between and no "
                "spaces, such as '15,20'"
            )

    @property
    def falls(self) -> list[int]:
        return [int(epoch) for epoch in self.decay.split(",") if epoch]

    def passes(self) -> float:
        return self.epochs * 0.5  # forward only

    def optimizer(self, parameters: Iterable[Tensor]) -> SGD:
        return SGD(parameters, self.lr, momentum=self.momentum, weight_decay=self.weight_decay)

    def seen(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Tensor:
        """The images to train on, made of ``images`` [B, 3, H, W] in [0, 1]: crops and flips."""
        return crop_and_flip(images, generator)

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        start = generator if self.drawn else None
        layer = linear_layer(encoder.width, data.classes, run.device, start)
        model = nn.Sequential(encoder, layer)
        images, labels = pixels(data.both, run.device)

        def loss(rows: Tensor) -> Tensor:
            batch = images[rows].float().div_(255)
            seen = self.seen(model, batch, labels[rows], generator)
            with torch.no_grad():
                features = encoder(seen)
            return cross_entropy(layer(features), labels[rows])

        # As the encoder is when features are extracted or attacked.
        with evaluating(encoder), frozen(encoder), full_precision():
            self.descend(layer, loss, len(labels), generator, run)
        return layer.requires_grad_(False)


def pixels(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    """The images, uint8 [n, 3, H, W], and labels [n] of a split, on the device."""
    return torch.tensor(split.images, device=device), torch.tensor(split.labels, device=device)


@dataclass(frozen=True)
class OnAdversaries(OnImages):
    """Trained on the images of cross-entropy PGD from a random start in the Linf ball.

    ``eps`` and ``step_size`` are in pixels of [0, 1]. Raises ValueError for values out of range.
    """

    eps: float = 8 / 255
    step_size: float = 2 / 255
    steps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        Climb(self.eps, self.step_size, self.steps)

    @property
    def climb(self) -> Climb:
        return Climb(self.eps, self.step_size, self.steps)

    @property
    def compared(self) -> bool:
        return False

    def passes(self) -> float:
        return self.epochs * (self.steps + 0.5)  # half: forward only

    def seen(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Tensor:
        return self.attacked(model, crop_and_flip(images, generator), labels, generator)

    def attacked(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Tensor:
        """Adversaries of ``images`` [B, 3, H, W]; ``model`` maps images to logits."""
        return self.climb(
            lambda attacked: cross_entropy(model(attacked), labels, reduction="sum"),
            images,
            generator,
        )
