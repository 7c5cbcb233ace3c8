"""A classifier under audit: one encoder of the zoo with a probe, and what was tried on it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn

from robench.contracts import NO_CHECKPOINTS, Attack, Data, Outcome, Run, Target
from robench.engine.bench import Bench
from robench.engine.evaluate import evaluate
from robench.grid.questions import Pretraining, Probing, generator
from robench.grid.records import Card
from robench.grid.spec import Spec, Value
from robench.tensors.features import to_images
from robench.tensors.modes import evaluating, full_precision

BATCH = 250


@dataclass(frozen=True)
class Asked:
    """What to audit an encoder with; ``target`` and ``probe`` are specs with all arguments.

    ``eps`` is in pixels of [0, 1], in linf; ``limit`` is how many test images.
    """

    target: Spec
    probe: Spec
    limit: int
    eps: Fraction
    autoattack: bool = True


@dataclass(frozen=True)
class Trial:
    """An attack and the evidence that it left."""

    attack: Attack
    outcome: Outcome
    notes: tuple[str, ...]
    counts: Mapping[str, int]


@dataclass
class Subject:
    """The classifier ``model`` and the test images ``index`` of ``data`` that it is tried on."""

    bench: Bench
    card: Card
    asked: Asked
    data: Data
    index: npt.NDArray[np.int64]
    model: nn.Module
    tried: dict[Spec, Trial] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.data.classes)

    @property
    def target(self) -> Target:
        """The classifier as attacks take it."""
        return Target(self.model, self.classes)

    @property
    def run(self) -> Run:
        """The audit's progress and device; nothing is kept to continue from."""
        return Run(self.bench.progress, NO_CHECKPOINTS, self.bench.device)

    @property
    def first_batch(self) -> tuple[Tensor, Tensor]:
        """The first images, [B, 3, H, W] in [0, 1], and their labels."""
        chosen = self.index[:BATCH]
        labels = torch.tensor(self.data.test.labels[chosen], device=self.bench.device)
        return to_images(self.data.test.images[chosen], self.bench.device), labels

    def logits(self, batches: Iterable[Tensor]) -> Tensor:
        """The model's logits of images in batches, as an evaluation computes them."""
        with torch.no_grad(), evaluating(self.model), full_precision():
            return torch.cat([self.model(batch) for batch in batches])

    def dice(self, purpose: str) -> Callable[[int], Generator]:
        """Dice for each batch of what is tried under a name."""
        question = question_of(self.card, self.asked)
        return lambda start: generator(question, f"audit {purpose} {start}", self.bench.device)

    def attack(self, spec: Spec) -> Attack:
        """The attack that a spec with all arguments describes."""
        attack = self.bench.catalog.build("attacks", spec)
        assert isinstance(attack, Attack)
        return attack

    def spec(self, name: str, eps: Fraction | None = None, **arguments: int) -> Spec:
        """An attack in linf with all its arguments, at the audit's eps or another."""
        given: dict[str, Value] = {
            "eps": self.asked.eps if eps is None else eps,
            "norm": "linf",
            **arguments,
        }
        return self.bench.catalog.resolve("attacks", Spec(name, tuple(given.items())))

    def trial(self, spec: Spec) -> Trial:
        """What an attack of the catalog does; tried once."""
        if spec not in self.tried:
            self.tried[spec] = self.try_out(self.attack(spec), spec)
        return self.tried[spec]

    def try_out(self, attack: Attack, spec: Spec, surrogate: nn.Module | None = None) -> Trial:
        """What an attack does to the test images. Raises EvaluationError where it breaks a rule."""
        made = evaluate(
            replace(self.target, surrogate=surrogate),
            attack,
            self.data.test,
            self.index,
            BATCH,
            self.dice(str(spec)),
            self.run,
            str(spec),
        )
        return Trial(attack, made.outcome, made.notes, made.counts)


def question_of(card: Card, asked: Asked) -> Probing:
    """The classifier as a run asks for it that fits probes on as many images as the encoder had."""
    source = card.question
    images = source.recipe.images if isinstance(source, Pretraining) else None
    return Probing(source, asked.probe, asked.target, images)


def share(outcome: Outcome) -> str:
    """The accuracy after an attack, in percent."""
    return f"{100 * (outcome.prediction == outcome.label).mean():.1f}%"
