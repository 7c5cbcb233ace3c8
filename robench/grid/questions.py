"""Questions, as frozen values of specs and numbers.

A question's hash is its cache key, its resume point, its file name and its seed: disk maps
questions to answers. Every spec in a question has all its arguments, so a changed default is
another question.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Union

from torch import Generator, device

from robench.grid.recipe import Recipe
from robench.grid.spec import Spec, show


@dataclass(frozen=True)
class Pretraining:
    """An encoder trained here: objective, architecture, data set, schedule and seed.

    ``teacher`` is another encoder that the objective learns from.
    """

    objective: Spec
    encoder: Spec
    dataset: Spec
    recipe: Recipe
    seed: int
    teacher: Union["Pretraining", "Imported", None] = None


@dataclass(frozen=True)
class Imported:
    """An encoder from a checkpoint: the file's SHA-256, and the layout and branch that are read.

    Normalisation, stem padding and pooling are arguments of the ``encoder``. ``prefix`` is where
    its names begin in a file of several.
    """

    sha256: str
    layout: str
    branch: str
    encoder: Spec
    prefix: str = ""


Source = Pretraining | Imported


@dataclass(frozen=True)
class Probing:
    """A classifier: a probe fitted on an encoder and a data set's training images.

    ``images`` is their number (None: all). Another data set than the pretraining's is a transfer.
    ``noise`` is the way and the rate at which their labels are wrong, such as ``sym(rate=0.4)``.
    """

    source: Source
    probe: Spec
    dataset: Spec
    images: int | None = None
    noise: Spec | None = None

    @property
    def pretraining(self) -> Pretraining:
        """The source, where it was trained here. Raises TypeError for an imported encoder."""
        if not isinstance(self.source, Pretraining):
            raise TypeError(f"{key(self.source)} was not trained here")
        return self.source


@dataclass(frozen=True)
class Evaluation:
    """An attack on a classifier, in batches of ``batch`` test images.

    The images come in a fixed order, so an answer grows: the number of images is no part of the
    question. ``surrogate`` is the classifier that a transfer attack is computed on.
    """

    probing: Probing
    attack: Spec
    batch: int = 250
    surrogate: Probing | None = None


Question = Pretraining | Imported | Probing | Evaluation


def parents(question: Question) -> tuple[Question, ...]:
    """The questions whose answers this one is computed from."""
    match question:
        case Pretraining(teacher=teacher):
            found: tuple[Question | None, ...] = (teacher,)
        case Imported():
            found = ()
        case Probing():
            found = (question.source,)
        case Evaluation():
            found = (question.probing, question.surrogate)
    return tuple(one for one in found if one is not None)


def key(question: Question) -> str:
    """A name for the question, readable in front and unique by its hash.

    For example ``rocl-shapes10-resnet8-s0-3f2a9c01be``.
    """
    text = json.dumps(_content(question), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(f"{type(question).__name__}{text}".encode()).hexdigest()[:10]
    words = (word.lower().replace("/", "_").strip("_.") for word in _words(question))
    return "-".join([*words, digest])


def generator(question: Question, purpose: str, on: device | str = "cpu") -> Generator:
    """A generator seeded by question and purpose, so results do not depend on execution order.

    ``purpose`` separates the streams of one question: "weights", "batches", "attack 128".
    """
    digest = hashlib.sha256(f"{key(question)} {purpose}".encode()).digest()
    return Generator(device=on).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


_RECIPE = {field.name: field.default for field in fields(Recipe)}
_LATER = {"teacher": None, "surrogate": None, "prefix": "", "noise": None}
"""Fields left out of keys at these values, so that old keys outlive new fields."""


def _content(part: Any) -> Any:
    """The question in JSON's types, with each spec as its text."""
    match part:
        case Spec():
            return str(part)
        case Recipe():
            return _given(part, _RECIPE)
        case Pretraining() | Imported() | Probing() | Evaluation():
            return _given(part, _LATER)
    return part


def _given(part: object, omitted: Mapping[str, object]) -> dict[str, Any]:
    return {
        name: _content(value)
        for name, value in vars(part).items()
        if name not in omitted or value != omitted[name]
    }


def _words(question: Question) -> list[str]:
    match question:
        case Pretraining():
            specs = question.objective, question.dataset, question.encoder
            return [*(spec.name for spec in specs), f"s{question.seed}"]
        case Imported():
            return [question.layout, question.encoder.name, question.branch]
        case Probing():
            return [*_words(question.source), question.dataset.name, question.probe.name]
        case Evaluation(attack=attack):
            eps = f"{attack.get('norm')}{show(attack.get('eps'))}" if attack.has("eps") else ""
            return [*_words(question.probing), attack.name, *([eps] if eps else [])]
