"""What can be asked, as frozen values of plain strings and numbers.

A question's hash is its cache key, its resume point and its provenance: disk maps questions to
answers. Every spec in a question is written out with all its arguments, so a changed default is
another question.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import Generator, device

from robench.grid.recipe import Recipe
from robench.grid.spec import parse


@dataclass(frozen=True)
class Pretraining:
    """Which encoder: an objective, an architecture, a data set, a schedule and a seed."""

    objective: str
    encoder: str
    dataset: str
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Probing:
    """Which classifier on it: a probe, fitted on a data set's training images.

    ``images`` is how many (None: all). Another data set than the pretraining's is a transfer.
    """

    pretraining: Pretraining
    probe: str
    dataset: str
    images: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """Which number: an attack on ``limit`` (None: all) of the test images, ``batch`` at a time."""

    probing: Probing
    attack: str
    batch: int
    limit: int | None = None


Question = Pretraining | Probing | Evaluation


def key(question: Question) -> str:
    """A name for the question, readable in front and unique by its hash.

    For example ``rocl-shapes10-resnet8-s0-3f2a9c01be``.
    """
    content = asdict(question, dict_factory=_told)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(f"{type(question).__name__}{text}".encode()).hexdigest()[:10]
    return "-".join([*_words(question), digest])


def generator(question: Question, purpose: str, on: device | str = "cpu") -> Generator:
    """Dice of its own for each purpose in a question; no draw depends on what ran before.

    ``purpose`` tells apart the streams of one question: "weights", "batches", "attack 128".
    """
    digest = hashlib.sha256(f"{key(question)} {purpose}".encode()).digest()
    return Generator(device=on).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _told(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Leave out what a recipe has at its default: old keys outlive new fields of a recipe."""
    told = dict(fields)
    if set(told) == set(_RECIPE):
        return {name: value for name, value in told.items() if value != _RECIPE[name]}
    return told


_RECIPE = {field.name: field.default for field in fields(Recipe)}


def _words(question: Question) -> list[str]:
    match question:
        case Pretraining():
            names = [question.objective, question.dataset, question.encoder]
            return [*(_slug(name) for name in names), f"s{question.seed}"]
        case Probing():
            return [*_words(question.pretraining), _slug(question.dataset), _slug(question.probe)]
        case Evaluation():
            attack = parse(question.attack)
            eps = f"{attack.get('norm')}{attack.get('eps')}" if attack.has("eps") else ""
            return [
                *_words(question.probing),
                _slug(question.attack),
                *([_slug(eps)] if eps else []),
            ]


def _slug(spec: str) -> str:
    name = spec.partition("(")[0]
    return re.sub(r"[^a-z0-9.]+", "_", name.lower()).strip("_.") or "x"
