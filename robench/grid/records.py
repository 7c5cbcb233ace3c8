"""What is known: the answers that disk keeps and reports are made of, as frozen values."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from robench.grid.questions import Evaluation, Source

SCHEMA = 4
"""The version of the files; others are not read."""


@dataclass(frozen=True)
class Provenance:
    """With what a number was made: enough to make it again."""

    robench: str
    commit: str
    versions: dict[str, str]
    device: str
    threads: int
    precision: str
    finished: str
    """Date and time in UTC, ISO 8601."""


@dataclass(frozen=True)
class Card:
    """What is on record about a pretrained encoder; its weights lie beside it.

    ``losses`` holds the mean pretraining loss of each epoch; ``branches`` the BatchNorm branches in
    the weights, and ``evaluated_branch`` the one that features are taken from.
    """

    key: str
    method: str
    source: str
    encoder: str
    question: Source
    width: int
    parameters: int
    branches: tuple[str, ...]
    evaluated_branch: str
    losses: tuple[float, ...]
    seconds: float
    data_sha256: str
    weights_sha256: str
    provenance: Provenance
    schema: int = SCHEMA


@dataclass(frozen=True)
class Labels:
    """Short names as a table prints them: a component's name, with the arguments that differ from
    its defaults.
    """

    method: str
    source: str
    target: str
    encoder: str
    probe: str
    attack: str


@dataclass(frozen=True)
class Cell:
    """One evaluated question. ``norm`` is "linf", "l2", "l1" or "", ``eps`` exact text such as
    "8/255", or "". ``counts`` says on how many images the attack noticed what can be counted.
    ``batch`` is the batch size used, if reduced after running out of memory. ``limit`` is the
    number of test images asked for (None: all).
    """

    key: str
    labels: Labels
    norm: str
    eps: str
    seed: int
    n: int
    correct: int
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    evaluation: Evaluation
    encoder_sha256: str
    probe_sha256: str
    data_sha256: str
    outcome_sha256: str
    provenance: Provenance
    counts: dict[str, int] = field(default_factory=dict)
    batch: int | None = None
    limit: int | None = None
    schema: int = SCHEMA


@dataclass(frozen=True)
class Outcome:
    """What happened to each image; every array has length n.

    ``index`` is the image's row in the test split, ``size`` the perturbation's size in the attack's
    norm, in pixels of [0, 1]. ``clean_prediction`` is the class predicted for the clean image,
    ``prediction`` that for the attacked one; their confidences are the softmax probabilities of
    these classes, and nan where they were not recorded. ``fooled_by`` is the first member of a
    cascade of attacks that fooled the image, counted from 0 (AutoAttack's: APGD-CE, APGD-T, FAB-T,
    Square), and -1 for none.
    """

    index: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    clean_prediction: npt.NDArray[np.int64]
    prediction: npt.NDArray[np.int64]
    size: npt.NDArray[np.float32]
    clean_confidence: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    fooled_by: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Result:
    """A cell with its per-image outcomes."""

    cell: Cell
    outcome: Outcome

    @property
    def labels(self) -> Labels:
        """The names that a table prints."""
        return self.cell.labels

    @property
    def norm(self) -> str:
        """ "linf", "l2", "l1", or "" for an attack without a ball."""
        return self.cell.norm

    @property
    def eps(self) -> str:
        """The radius as exact text such as "8/255", or ""."""
        return self.cell.eps

    @property
    def seed(self) -> int:
        """The pretraining's seed."""
        return self.cell.seed

    @property
    def notes(self) -> tuple[str, ...]:
        """What the evaluation and the attack noticed, as evidence for flags."""
        return self.cell.notes

    @property
    def counts(self) -> dict[str, int]:
        """Evidence for flags that is counted in images."""
        return self.cell.counts

    @property
    def n(self) -> int:
        """The number of test images."""
        return self.cell.n

    @property
    def correct(self) -> int:
        """The number of images classified correctly after the attack."""
        return self.cell.correct

    @property
    def flags(self) -> tuple[str, ...]:
        """The reasons to doubt the number, by name."""
        return self.cell.flags


@dataclass(frozen=True)
class Curve:
    """How one pretraining went: the mean loss of each epoch."""

    method: str
    source: str
    encoder: str
    seed: int
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Examples:
    """A few attacked images of one cell, to look at: ``clean`` and ``attacked`` float32 [m, 3, H,
    W] in [0, 1].
    """

    labels: Labels
    norm: str
    eps: str
    classes: tuple[str, ...]
    label: npt.NDArray[np.int64]
    clean: npt.NDArray[np.float32] = field(repr=False)
    attacked: npt.NDArray[np.float32] = field(repr=False)
    clean_prediction: npt.NDArray[np.int64] = field(repr=False)
    attacked_prediction: npt.NDArray[np.int64] = field(repr=False)
