"""The contract of each kind of component.

A component is a file: ``robench/attacks/pgd.py`` holds the one public class that implements the
contract of its kind, and the file's name is the component's name. Every argument of the class has a
type (bool, int, float, str, or one of these with None) and, but for what the stage hands in, a
default; the catalog reads them from the signature.

Legend: n images, B a batch, C = 3 channels, H and W pixels, K classes, D the encoder's width.
Images are float32 in [0, 1], or uint8 in 0..255 where they are stored.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, device, nn

from robench.grid.recipe import Recipe
from robench.grid.records import Outcome as Outcome
from robench.tensors.balls import Ball
from robench.tensors.features import extract, to_images

Item = TypeVar("Item")

_AT_ONCE = 500  # images: their features are their own, whatever else is in the batch

Argument = bool | int | float | str | None
"""The types of a component's arguments."""


class Progress(Protocol):
    """Yields the items one by one and shows how far it is; it never decides anything."""

    def __call__(self, items: Sequence[Item], label: str) -> Iterable[Item]: ...


@dataclass(frozen=True)
class State:
    """Everything needed to resume work: tensors by name, and values that JSON can hold."""

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    def is_like(self, others: Mapping[str, Tensor]) -> bool:
        """Whether the tensors have the names, shapes and types of ``others``."""
        kinds = [
            {n: (t.shape, t.dtype) for n, t in some.items()} for some in (self.tensors, others)
        ]
        return kinds[0] == kinds[1]


Accept = Callable[[State], object]
"""Raises an exception for a state that does not fit the work."""


def any_state(state: State) -> None:
    """Accept every state."""


class Checkpoints:
    """Saves the state of long work, so that it can be resumed; this class itself saves nothing."""

    def load(self, accept: Accept = any_state) -> State | None:
        """Load the state to resume from, on the CPU; None to start at the beginning.

        A state that ``accept`` does not is not used. Each tensor has the strides that it was saved
        with.
        """
        return None

    def save_if_due(self, state: Callable[[], State]) -> None:
        """Mark a safe point. ``state()`` returns everything needed to resume.

        It is called only when a checkpoint is due. If the process was asked to stop, the state is
        saved and the work stops here.
        """


NO_CHECKPOINTS = Checkpoints()
"""Interrupted work starts again."""


@dataclass(frozen=True)
class Run:
    """The progress display, the checkpoints and the device of a piece of work.

    ``counts`` are those of `Attacked` over the images of an evaluation that came before.
    """

    progress: Progress
    checkpoints: Checkpoints = NO_CHECKPOINTS
    device: device = field(default_factory=lambda: device("cpu"))
    counts: Mapping[str, int] = field(default_factory=dict)


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
    """A data set is missing, damaged or malformed; the message says what to do."""


class Dataset(ABC):
    """A source of labelled images. Subclasses are frozen dataclasses.

    ``published`` is the number of test images that everybody's is measured on, if there is one:
    results on fewer, also because the files have fewer, are flagged.
    """

    published: ClassVar[int | None] = None

    def files(self, root: Path) -> Sequence[Path] | None:
        """The files that `load` reads; () for a set that is drawn, and None if not known.

        A finished grid compares their names, sizes and times, and the images of a set whose files
        are not known. Decoded files are cached. Raises DataError for missing files.
        """
        return None

    @abstractmethod
    def load(self, root: Path, progress: Progress) -> Data:
        """Read the data set from the folder ``root``. Raises DataError where that fails."""


class Encoder(nn.Module):
    """Images [B, 3, H, W] in [0, 1] to features [B, width], normalising its input itself."""

    width: int


@dataclass(frozen=True)
class Batch:
    """A batch of a pretraining, and its place in it.

    ``images`` float32 [B, 3, H, W]; ``index`` int64 [B], their rows in the training set; ``labels``
    int64 [B] if the objective ``uses_labels``. ``epoch`` is in 0..epochs-1, and ``progress``, in
    [0, 1), the share of all steps that are done. Every random draw comes from ``generator``.
    """

    images: Tensor
    index: Tensor
    labels: Tensor | None
    epoch: int
    epochs: int
    progress: float
    generator: Generator


@dataclass(frozen=True)
class TrainingSet:
    """All ``images`` of a pretraining, uint8 [n, 3, H, W], and ``labels`` int64 [n] if used."""

    images: Tensor
    labels: Tensor | None = None


class Teacher(nn.Module):
    """An encoder that an objective learns from: images [B, 3, H, W] to features [B, D].

    It stays frozen and in eval mode. ``projector`` maps its features to the embeddings that it was
    trained on; None where that is not known.
    """

    def __init__(self, encoder: Encoder, projector: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            features: Tensor = self.encoder(images)
        return features

    def hand_over(self, student: Encoder) -> None:
        """Copy the weights to a student. Raises ValueError for one that they do not fit."""
        try:
            student.load_state_dict(self.encoder.state_dict())
        except RuntimeError:
            raise ValueError(
                "the teacher's weights do not fit the encoder; scratch=true starts from random ones"
            ) from None


@dataclass(frozen=True)
class Exported:
    """The result of a pretraining: the encoder, and the BatchNorm branch for its features.

    ``head`` is the classifier [B, D] -> [B, K] and ``projector`` what maps features to embeddings,
    where there is one. The zoo keeps them: the probe `own` evaluates the head, and students learn
    from the projector.
    """

    encoder: Encoder
    branch: str = "clean"
    head: nn.Linear | None = None
    projector: nn.Module | None = None


class Objective(nn.Module, ABC):
    """A pretraining loss around an encoder; it makes its own views.

    The constructor takes the encoder, maybe a ``teacher: Teacher`` and the number of ``classes:
    int`` in the data, which have no default, and arguments by keyword.
    What is learned or remembered belongs in parameters and buffers, from which an interrupted
    training continues. ``recipe`` is the authors' schedule; an object's wins over its class's.
    """

    recipe: Recipe | None = None
    uses_labels: ClassVar[bool] = False
    encoder: Encoder

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """The scalar loss of a batch."""

    def prepare(self, data: TrainingSet, epoch: int, generator: Generator, run: Run) -> None:
        """Look at the whole training set before an epoch; results belong in buffers."""

    def after_step(self, batch: Batch) -> None:
        """Update what follows the weights, such as a moving average or a queue."""

    def exported(self) -> Exported:
        """The encoder that is evaluated, once the training has ended."""
        return Exported(self.encoder)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The parameters to train, in groups, which may have a ``weight_decay`` of their own."""
        return [{"params": list(self.parameters())}]


@dataclass(frozen=True)
class ProbeData:
    """Images to train on and images to select on, with so many ``classes`` (K).

    ``head`` is the classifier that the encoder was trained with on these data, if there was one.
    """

    train: Split
    held_out: Split
    classes: int
    head: nn.Module | None = None
    _features: list[Tensor] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, data: Data, head: nn.Module | None = None) -> "ProbeData":
        """All but the test part."""
        return cls(data.train, data.held_out, len(data.classes), head)

    @cached_property
    def both(self) -> Split:
        """The images to train on, and after them those to select on."""
        parts = self.train, self.held_out
        images, labels = ([getattr(p, name) for p in parts] for name in ("images", "labels"))
        return Split(np.concatenate(images), np.concatenate(labels))

    def outputs(self, model: nn.Module, run: Run, label: str) -> Tensor:
        """The outputs of a frozen model for the images of ``both``: float32 [n, D]."""
        starts = run.progress(range(0, len(self.both), _AT_ONCE), label)
        parts = (self.both.images[start : start + _AT_ONCE] for start in starts)
        return extract(model, (to_images(part, run.device) for part in parts))

    def features(self, encoder: nn.Module, run: Run) -> tuple[Tensor, Tensor]:
        """The frozen encoder's features of ``both``, float32 [n, D], and labels [n]; made once."""
        if not self._features:
            self._features.append(self.outputs(encoder, run, "features"))
        return self._features[0], torch.tensor(self.both.labels, device=run.device)


class ProbeError(Exception):
    """A probe cannot be fitted, or broke a rule; the message says which."""


class Probe(ABC):
    """Fits a classifier [B, D] -> [B, K] on features. Subclasses are frozen dataclasses.

    One that ``finetunes`` trains a copy of the encoder in place, which is stored with it. One that
    does not fit (``fits`` is False) takes the head that an encoder was trained with.
    """

    finetunes: ClassVar[bool] = False
    fits: ClassVar[bool] = True
    named: ClassVar[tuple[str, ...]] = ()
    """Arguments that stand in the probe's name in tables, also at their defaults."""

    @property
    def compared(self) -> bool:
        """Whether it should come near the best linear layer on the features of clean images.

        Where it stays below, its numbers are flagged.
        """
        return True

    def passes(self) -> float:
        """Forward-and-backward passes of the encoder per image; 0 if each is encoded once."""
        return 0.0

    @abstractmethod
    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        """Fit on features of the encoder, which is in eval mode and on ``run.device``.

        The encoder stays unchanged, unless the probe ``finetunes``. A fit that takes minutes
        continues from ``run.checkpoints``. Raises ProbeError where it fails.
        """

    def rebuild(self, width: int, classes: int, weights: Mapping[str, Tensor]) -> nn.Module:
        """The classifier from its ``state_dict``; raises RuntimeError if that does not fit."""
        with device("meta"):
            layer = nn.Linear(width, classes)
        layer.load_state_dict(weights, assign=True)
        return layer


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
    cascade of attacks: the first member that fooled the image, counted from 0, -1 for none, and -2
    for an image that is left to a sample.
    """

    images: Tensor
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = MappingProxyType({})
    fooled_by: Tensor | None = None


class Attack(ABC):
    """Looks for misclassified images near the given ones. Subclasses are frozen dataclasses.

    ``needs`` says what the attack uses: "labels", "gradients" of the model, "features", or a
    "surrogate". Signs of masked gradients are collected for attacks that need gradients. One that
    is a ``baseline`` should leave more images standing than `PGD` does in the same ball.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels", "gradients"})
    baseline: ClassVar[bool] = False

    @property
    @abstractmethod
    def ball(self) -> Ball | None:
        """The ball around each image that the attack stays in; None if nothing bounds it."""

    @property
    def series(self) -> Hashable:
        """The attack at any radius: equal for attacks that differ in ``eps`` alone."""
        arguments = {name: value for name, value in vars(self).items() if name != "eps"}
        return type(self), tuple(sorted(arguments.items())), type(self.ball)

    def refusal(self, height: int, width: int) -> str | None:
        """The reason why the attack cannot do images of a size; None, as here, where it can."""
        return None

    def passes(self, classes: int) -> tuple[float, float]:
        """Forward-and-backward passes per image, at least and at most, to estimate times from."""
        return 1.0, 1.0

    def at_least_as_strong_as(self, other: "Attack") -> bool:
        """Whether this attack should leave no more images standing than ``other`` does.

        By default, whether ``other`` is the same attack in a ball of at most its size.
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
