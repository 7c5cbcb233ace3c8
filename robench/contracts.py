"""What each kind of component promises.

A component is a file: ``robench/attacks/pgd.py`` holds the one public class that implements the
contract of its kind, and the file's name is the component's name. Every argument of the class has a
type (bool, int, float, str, or one of these with None) and, but for what the stage hands in, a
default; the catalog reads them from the signature. A class may name, in ``later``, arguments that
it took on after answers were stored: they stay out of its specs, and so out of keys, while they
are at their default.

Legend: n images, B a batch, C = 3 channels, H and W pixels, K classes, D the encoder's width.
Images are float32 in [0, 1], or uint8 in 0..255 where they are stored.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, ParamSpec, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Generator, Tensor, device, nn

from robench.grid.recipe import Recipe
from robench.grid.records import Outcome as Outcome
from robench.tensors.balls import Ball

Item = TypeVar("Item")
P = ParamSpec("P")

Argument = bool | int | float | str | None
"""What an argument of a component can be."""


class Progress(Protocol):
    """Hands the items on one by one and shows how far it is; never decides anything."""

    def __call__(self, items: Sequence[Item], label: str) -> Iterable[Item]: ...


@dataclass(frozen=True)
class State:
    """Where long work is: tensors by name, and beside them values that JSON can hold.

    Tensors in ``fixed``, under names of their own, stay what they are: in a later state the same
    tensor under the same name is not written again.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    fixed: Mapping[str, Tensor] = field(default_factory=dict)


class Checkpoints(Protocol):
    """Keeps the state of long work, so that it can go on after an interruption."""

    def load(self) -> State | None:
        """The state to go on from, or None to start at the beginning; its tensors are on the CPU.

        Each tensor has the strides that it was kept with.
        """
        ...

    def save_if_due(self, state: Callable[[], State]) -> None:
        """The work is at a point that it can go on from, and ``state()`` is all that it takes.

        Keeps it where it is time to; raises what stops the process where it was asked to stop.
        """
        ...


class _NoCheckpoints:
    def load(self) -> State | None:
        """Nothing."""
        return None

    def save_if_due(self, state: Callable[[], State]) -> None:
        """Keep nothing."""


NO_CHECKPOINTS: Checkpoints = _NoCheckpoints()
"""Keeps nothing: work that is interrupted starts again."""


@dataclass(frozen=True)
class Run:
    """How long work shows progress and keeps its state, and the device that it runs on."""

    progress: Progress
    checkpoints: Checkpoints
    device: device = field(default_factory=lambda: device("cpu"))


@dataclass(frozen=True)
class Split:
    """Images and their labels: ``images`` uint8 [n, 3, H, W], ``labels`` int64 [n] in 0..K-1."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Data:
    """A data set in three parts: to train on, to select on, and to report on, once."""

    train: Split
    held_out: Split
    test: Split
    classes: tuple[str, ...]


class DataError(Exception):
    """A data set is missing, damaged or not what it should be; the message has the way out."""


class Dataset(ABC):
    """Where labelled images come from.

    Subclasses are frozen dataclasses; their fields are the arguments.
    """

    @abstractmethod
    def load(self, root: Path, progress: Progress) -> Data:
        """Read the data set, from the folder ``root`` where it lives on disk.

        Raises DataError when it is missing, damaged or malformed.
        """


class Encoder(nn.Module):
    """Images [B, 3, H, W] in [0, 1] to features [B, width].

    Input normalisation is its own first layer.
    """

    width: int


class Objective(nn.Module, ABC):
    """A pretraining loss. It holds the encoder and its own projector, and makes its own views.

    ``paper`` is the authors' schedule, used by presets that have none of their own. A method that
    comes on several bases says which by an argument ``base``; ``bases`` has, for each of them, the
    defaults of other arguments that it changes. The catalog fills them in, and for calls from
    Python `on_its_base` does.
    """

    paper: ClassVar[Recipe]
    later: ClassVar[tuple[str, ...]] = ()
    bases: ClassVar[Mapping[str, Mapping[str, Argument]]] = {}
    encoder: Encoder

    @classmethod
    def schedule(cls, arguments: Mapping[str, Argument]) -> Recipe:
        """The authors' schedule with these arguments, all of which are given."""
        return cls.paper

    @abstractmethod
    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        """The scalar loss of a batch ``images`` [B, 3, H, W] in [0, 1].

        Every draw comes from ``generator``.
        """


def on_its_base(init: Callable[P, None]) -> Callable[P, None]:
    """Give the constructor of an objective the defaults of the ``base`` that it is called with.

    All its arguments but the encoder are given by name.
    """

    @wraps(init)
    def filled(*args: P.args, **given: P.kwargs) -> None:
        bases: Mapping[object, Mapping[str, Argument]] = getattr(args[0], "bases", {})
        init(*args, **{**bases.get(given.get("base"), {}), **given})  # type: ignore[arg-type]

    return filled


class ProbeError(Exception):
    """A probe cannot be fitted, or did what a probe must not do; the message says what."""


class Probe(ABC):
    """Fits a linear classifier [B, D] -> [B, K] on the features of a frozen encoder.

    One that ``finetunes`` trains the encoder too, in place: it is given a copy, and the copy is
    evaluated and kept with the layer. Subclasses are frozen dataclasses.
    """

    finetunes: ClassVar[bool] = False

    def passes(self) -> float:
        """Forward-and-backward passes of the encoder per training image, to estimate times from.

        0 where each image is encoded once.
        """
        return 0.0

    @abstractmethod
    def fit(
        self,
        encoder: Encoder,
        train: Split,
        held_out: Split,
        classes: int,
        generator: Generator,
        progress: Progress,
    ) -> nn.Module:
        """Train on ``train``; whatever is selected is selected on ``held_out``.

        The encoder comes in eval mode and is left unchanged, unless the probe ``finetunes``.
        Returns an ``nn.Linear``, which is what the zoo keeps. Raises ProbeError where that cannot
        be had.
        """

    def resume(
        self,
        encoder: Encoder,
        train: Split,
        held_out: Split,
        classes: int,
        generator: Generator,
        progress: Progress,
        checkpoints: Checkpoints,
    ) -> nn.Module:
        """The same as `fit`, going on from what ``checkpoints`` have.

        For probes that take minutes; others start again.
        """
        return self.fit(encoder, train, held_out, classes, generator, progress)


@dataclass(frozen=True)
class Target:
    """The classifier that an attack searches: ``model`` maps images to logits [B, classes].

    ``encoder`` maps images to features [B, D], where the classifier has one; ``surrogate`` is
    another classifier of the same classes, for attacks that make their images on it.
    """

    model: nn.Module
    classes: int
    encoder: nn.Module | None = None
    surrogate: nn.Module | None = None


class Attacked(NamedTuple):
    """Attacked images, with what the attack found out about the model on the way.

    ``counts`` maps what can be counted to a number of images. ``fooled_by``, int64 [B], is for a
    cascade of attacks: the first member that fooled the image, counted from 0, and -1 for none.
    """

    images: Tensor
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = MappingProxyType({})
    fooled_by: Tensor | None = None


class Attack(ABC):
    """Looks for misclassified images near the given ones. Subclasses are frozen dataclasses.

    ``needs`` says what the attack uses: "labels", "gradients" of the model, or a "surrogate". Signs
    of masked gradients are collected for attacks that need gradients.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels", "gradients"})

    @property
    @abstractmethod
    def ball(self) -> Ball | None:
        """The ball around each image that the attack stays in; None if nothing bounds it."""

    @property
    def series(self) -> Hashable:
        """The attack at any radius: equal for attacks that differ in ``eps`` alone."""
        arguments = {name: value for name, value in vars(self).items() if name != "eps"}
        return type(self), tuple(sorted(arguments.items())), type(self.ball)

    def passes(self, classes: int) -> tuple[float, float]:
        """Forward-and-backward passes per image, at least and at most, to estimate times from."""
        return 1.0, 1.0

    def at_least_as_strong_as(self, other: "Attack") -> bool:
        """Whether this attack should leave no more images standing than ``other`` does.

        By default, whether ``other`` is the same attack in a ball that is no larger.
        """
        if self.series != other.series:
            return False
        return self.ball is None or other.ball is None or self.ball.eps >= other.ball.eps

    @abstractmethod
    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        """Attack ``images`` [B, 3, H, W] in [0, 1] with ``labels`` int64 [B].

        The target's model is in eval mode. An attack that takes minutes saves its state to
        ``run.checkpoints`` and continues from there. The global random state is unchanged when the
        call returns.
        """


Metric = Callable[[Outcome], float]
"""A number from per-image outcomes; a metric's file holds one public function of this type."""
