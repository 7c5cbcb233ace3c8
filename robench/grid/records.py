"""Answers that are stored on disk and reported, as frozen values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from robench.grid.questions import Evaluation, Pretraining, Source, key
from robench.grid.spec import Spec, parse_number, show

SCHEMA = 4
"""The version of the files; others are not read."""

CODE, DATA, WEIGHTS = "the code of ", "the data", "the weights"


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
class Identity:
    """The code, data and weights that an answer was made from.

    ``code`` pairs each component and stage with a digest of its code, ``data`` is the SHA-256 of
    the images and labels used, ``parents`` are those of the weights. "" stands for unknown.
    """

    code: tuple[tuple[str, str], ...]
    data: str
    parents: tuple[str, ...]

    def differs(self, other: "Identity") -> tuple[str, ...]:
        """The names of what is not the same in both; what either does not know is not compared."""
        ours, theirs = dict(self.code), dict(other.code)
        both = [name for name in ours if name in theirs]
        names = [f"{CODE}{name}" for name in both if ours[name] != theirs[name]]
        if self.data and other.data and self.data != other.data:
            names.append(DATA)
        pairs = list(zip(self.parents, other.parents, strict=False))
        if len(self.parents) != len(other.parents) or any(a and b and a != b for a, b in pairs):
            names.append(WEIGHTS)
        return tuple(names)


@dataclass(frozen=True)
class Card:
    """A trained or imported encoder; its weights lie beside it.

    ``branches`` are the BatchNorm branches in the weights, and ``evaluated_branch`` the one that
    features are taken from; ``losses`` are the mean training loss of each epoch. ``images`` is the
    number of training images, 0 where it is not known. ``name`` is what tables call an imported
    one. ``heads_sha256`` is that of the file with the head and projector that it was trained with,
    "" where there is none.
    """

    question: Source
    identity: Identity
    width: int
    parameters: int
    branches: tuple[str, ...]
    evaluated_branch: str
    losses: tuple[float, ...]
    seconds: float
    weights_sha256: str
    provenance: Provenance
    name: str = ""
    images: int = 0
    heads_sha256: str = ""
    schema: int = SCHEMA

    @property
    def key(self) -> str:
        """The question's key, which is the name of the encoder's folder."""
        return key(self.question)


IMPORTED = "imported"
"""The source of an imported encoder: what it was trained on is not known."""


@dataclass(frozen=True)
class Fit:
    """The fit of a probe: its accuracy on the two parts that it knows, as fractions.

    ``optimum`` is the accuracy on the held-out part of the best linear layer on the features of the
    training part, where that was fitted. ``notes`` and ``counts``, in images, are evidence.
    """

    train: float
    held_out: float
    optimum: float | None = None
    notes: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Labels:
    """Short names for tables: a component's name, with the arguments that are not defaults."""

    method: str
    source: str
    target: str
    encoder: str
    probe: str
    attack: str

    @property
    def domain(self) -> str:
        """The source; an imported encoder stands beside those of the target's data."""
        return self.target if self.source == IMPORTED else self.source

    @classmethod
    def of(
        cls, evaluation: Evaluation, name: Callable[[str, Spec], str] = lambda kind, spec: spec.name
    ) -> "Labels":
        """The labels of an evaluation; ``name`` gives a component's, by its kind and spec.

        Norm and eps, and what an imported encoder's file decides, are left out. A transfer attack
        is from the surrogate's method, or its key where it differs in more than that.
        """
        probing, source = evaluation.probing, evaluation.probing.source
        if isinstance(source, Pretraining):
            method, encoder = _method(source, name), source.encoder
            trained_on = name("datasets", source.dataset)
        else:
            method, encoder = source.layout, source.encoder.without("normalize", "stem")
            trained_on = IMPORTED
        noise = "" if probing.noise is None else f" labels={probing.noise}"
        origin = ""
        if evaluation.surrogate is not None:
            other = evaluation.surrogate.source
            origin = f" from {key(other)}"
            if isinstance(other, Pretraining) and isinstance(source, Pretraining):
                as_ours = replace(other, objective=source.objective, recipe=source.recipe)
                origin = (
                    f" from {name('methods', other.objective)}" if as_ours == source else origin
                )
        return cls(
            method=method,
            source=trained_on,
            target=name("datasets", probing.dataset),
            encoder=name("encoders", encoder),
            probe=name("probes", probing.probe) + noise,
            attack=name("attacks", evaluation.attack.without("norm", "eps")) + origin,
        )


def _method(source: Pretraining, name: Callable[[str, Spec], str]) -> str:
    """The method, with the teacher's, or the teacher's key where it differs in more than that."""
    objective, teacher = source.objective, source.teacher
    if teacher is None:
        return name("methods", objective)
    own = source.encoder, source.dataset, source.seed
    if isinstance(teacher, Pretraining) and own == (
        teacher.encoder,
        teacher.dataset,
        teacher.seed,
    ):
        shown = _method(teacher, name)
    else:
        shown = key(teacher)
    return name("methods", objective.with_defaults({"teacher": shown}))


@dataclass(frozen=True)
class Cell:
    """An evaluated question, with the evidence that flags are drawn from.

    ``limit`` is the number of test images asked for (None: all). ``batch`` is the batch size used,
    if reduced after running out of memory. ``counts`` are numbers of images.
    """

    evaluation: Evaluation
    identity: Identity
    limit: int | None
    notes: tuple[str, ...]
    counts: dict[str, int]
    seconds: float
    outcome_sha256: str
    provenance: Provenance
    batch: int | None = None
    schema: int = SCHEMA

    @property
    def key(self) -> str:
        """The question's key, which is the name of the cell's files."""
        return key(self.evaluation)


@dataclass(frozen=True)
class Outcome:
    """The outcome of an attack on each image; every array has length n.

    ``index`` is the image's row in the test split, ``size`` the perturbation's size in the attack's
    norm, in pixels of [0, 1]. ``clean_prediction`` is the class predicted for the clean image,
    ``prediction`` that for the attacked one; their confidences are the softmax probabilities of
    these classes, and nan where they were not recorded. ``fooled_by`` is the first member of a
    cascade of attacks that fooled the image, counted from 0 (AutoAttack's: APGD-CE, APGD-T, FAB-T,
    Square), -1 for none, and -2 for an image that only cheaper attacks were tried on.
    """

    index: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    clean_prediction: npt.NDArray[np.int64]
    prediction: npt.NDArray[np.int64]
    size: npt.NDArray[np.float32]
    clean_confidence: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    fooled_by: npt.NDArray[np.int64]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each image is right both clean and attacked, as RobustBench counts it.

        What an attack makes right is not robust.
        """
        right: npt.NDArray[np.bool_] = self.clean_prediction == self.label
        right &= self.prediction == self.label
        return right


@dataclass(frozen=True)
class Pictures:
    """The first images of an outcome, to look at: ``clean`` and ``attacked`` float32 [m, 3, H, W]
    in [0, 1], and the names of all classes.
    """

    clean: npt.NDArray[np.float32] = field(repr=False)
    attacked: npt.NDArray[np.float32] = field(repr=False)
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """A cell with its per-image outcomes, its labels, and the flags drawn from its evidence.

    Its example images stay on disk until they are asked for.
    """

    cell: Cell
    outcome: Outcome
    labels: Labels
    flags: tuple[str, ...] = ()
    load_pictures: Callable[[], Pictures | None] = field(
        default=lambda: None, repr=False, compare=False
    )

    @property
    def pictures(self) -> Pictures | None:
        """The first test images, clean and attacked, read anew each time; None without any."""
        return self.load_pictures()

    @property
    def identity(self) -> Identity:
        """The code, data and weights that it was made from."""
        return self.cell.identity

    @property
    def data(self) -> str:
        """The SHA-256 of the test images and labels."""
        return self.cell.identity.data

    @property
    def norm(self) -> str:
        """ "linf", "l2", "l1", or "" for an attack without a ball."""
        return radius(self.cell.evaluation.attack)[0]

    @property
    def eps(self) -> str:
        """The radius as exact text such as "8/255", or ""."""
        return radius(self.cell.evaluation.attack)[1]

    @property
    def seed(self) -> int:
        """The pretraining's seed; 0 for an imported encoder."""
        source = self.cell.evaluation.probing.source
        return source.seed if isinstance(source, Pretraining) else 0

    @property
    def n(self) -> int:
        """The number of test images."""
        return len(self.outcome.label)

    @property
    def correct(self) -> int:
        """The number of images classified correctly, both clean and attacked."""
        return int(self.outcome.right.sum())

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes of the attack, by name."""
        return self.cell.notes

    @property
    def counts(self) -> Mapping[str, int]:
        """On how many images the attack noticed what can be counted."""
        return self.cell.counts


def radius(attack: Spec) -> tuple[str, str]:
    """An attack's norm and eps as one would type them, "" where it has none.

    An eps without a short decimal is given in steps of 1/255, if it is a whole number of those.
    """
    norm, eps = (show(attack.get(name)) if attack.has(name) else "" for name in ("norm", "eps"))
    if "/" in eps:
        steps = parse_number(eps) * 255
        eps = f"{steps}/255" if steps.denominator == 1 else eps
    return norm, eps


@dataclass(frozen=True)
class Curve:
    """The mean loss of each epoch of one pretraining."""

    method: str
    source: str
    encoder: str
    seed: int
    losses: tuple[float, ...]
