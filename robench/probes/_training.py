"""Stochastic gradient descent on labelled images, for the probes that see them in every epoch."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Generator, Tensor

from robench.contracts import NO_CHECKPOINTS, Checkpoints, ProbeError, Progress, Split
from robench.probes._steps import steps
from robench.tensors.augment import random_crop, random_hflip


@dataclass(frozen=True)
class Schedule:
    """SGD with momentum; the learning rate falls tenfold after each epoch that ``decay`` lists.

    ``decay`` counts the epochs done, between commas as the field's code takes them: "15,20", or ""
    for a constant rate. Raises ValueError for a list of another form, or a value out of range.
    """

    lr: float
    epochs: int
    batch: int
    momentum: float
    weight_decay: float
    decay: str

    def __post_init__(self) -> None:
        if min(self.lr, self.epochs, self.batch) <= 0:
            raise ValueError(
                f"lr={self.lr}, epochs={self.epochs} and batch={self.batch} must be positive"
            )
        if not 0 <= self.momentum < 1 or self.weight_decay < 0:
            raise ValueError(
                f"momentum={self.momentum} must be in [0, 1) and "
                f"weight_decay={self.weight_decay} not negative"
            )
        # One form only: another spelling would be another question with the same answer.
        if not re.fullmatch(r"([1-9]\d*(,[1-9]\d*)*)?", self.decay) or any(
            later <= earlier for earlier, later in pairwise(self.falls)
        ):
            raise ValueError(
                f"decay='{self.decay}' should be ascending epochs with commas between and no "
                "spaces, such as '15,20'"
            )

    @property
    def falls(self) -> list[int]:
        """The numbers of epochs done at which the learning rate falls."""
        return [int(epoch) for epoch in self.decay.split(",") if epoch]


def rate(lr: float, falls: Sequence[int], epoch: int) -> float:
    """The learning rate in an epoch, from 0: tenfold smaller after each number in ``falls``."""
    for _ in [fall for fall in falls if epoch >= fall]:
        lr *= 0.1
    return lr


def pixels(parts: Sequence[Split], device: torch.device) -> tuple[Tensor, Tensor]:
    """The images of the parts, uint8 [n, 3, H, W], and their labels [n], on the device."""
    images = np.concatenate([part.images for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    return torch.tensor(images, device=device), torch.tensor(labels, device=device)


def descend(
    schedule: Schedule,
    parameters: Iterable[Tensor],
    known: tuple[Tensor, Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    generator: Generator,
    progress: Progress,
    label: str,
    least: int = 1,
    buffers: Iterable[Tensor] = (),
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Iterator[int]:
    """Train ``parameters`` in place; gives the number of epochs done, after each of them.

    ``known`` are stored images and labels; ``loss`` maps a shuffled batch of them, images
    [B, 3, H, W] in [0, 1] and labels [B], to a scalar. A last batch of fewer than ``least`` images
    is left out. Training goes on from what ``checkpoints`` have; ``buffers`` are what it changes
    beside the parameters. Raises ProbeError when a loss is not finite.
    """
    parameters = list(parameters)
    images, labels = known
    starts = range(0, len(labels) - least + 1, schedule.batch)
    optimizer = torch.optim.SGD(
        parameters,
        schedule.lr,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )
    total = torch.zeros((), device=images.device)
    taken = steps(
        len(labels),
        starts,
        schedule.epochs,
        optimizer,
        [*parameters, *buffers, total],
        generator,
        progress,
        label,
        checkpoints,
    )
    for epoch, rows, last in taken:
        for group in optimizer.param_groups:
            group["lr"] = rate(schedule.lr, schedule.falls, epoch)
        optimizer.zero_grad()
        value = loss(images[rows].float().div_(255), labels[rows])
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += value.detach()
        if last:
            if not math.isfinite(total.item()):
                raise ProbeError(
                    f"{label}: the loss is {total.item()} in epoch {epoch + 1}; "
                    f"try a smaller lr than {schedule.lr:g}"
                )
            total.zero_()
            yield epoch + 1


def crop_and_flip(images: Tensor, generator: Generator) -> Tensor:
    """The field's view of a training image: shifted by up to 4 pixels, and flipped or not.

    ACL's train_trades.py:90-94, AdvCL's finetuning_advCL_SLF.py:26-31, DynACL's test_LF.py:90-94
    and test_AFF.py:90-94.
    """
    return random_hflip(random_crop(images, 4, generator), generator)
