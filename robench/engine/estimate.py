"""A plan in lines: what is cached, what would be computed, and roughly how long that takes.

An image is timed once for each architecture and method, in a batch on the device of the plan.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Generator

from robench.contracts import Attack, Batch, DataError
from robench.engine.bench import Bench
from robench.engine.pretrain import loss_of
from robench.engine.progress import duration
from robench.grid.questions import Evaluation, Pretraining, Probing, Question, Source
from robench.grid.spec import Spec, SpecError
from robench.tensors.modes import preserved_random_state

_BATCH = {"cpu": 32, "cuda": 256}  # of the timed step


@dataclass(frozen=True)
class Cost:
    """Seconds, at least and at most: an attack ends early for images that it fools."""

    low: float
    high: float

    def __str__(self) -> str:
        first, last = duration(self.low), duration(self.high)
        return f"about {first}" if first == last else f"{first} to {last}"


def estimate(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Iterator[str]:
    """The plan in lines: what is cached, what would be computed, and a rough time for each."""
    left = missing(bench, evaluations, limit)
    yield overview(bench, evaluations, left)
    if not left.evaluations:
        yield "nothing to compute"
        return
    parts = list[Cost]()
    for question, part in _parts(bench, left, limit):
        parts.append(part)
        yield f"  {_named(bench, question, limit)}: {part}"
    yield f"in all {_total(parts)}, on {bench.device}"


class Missing(NamedTuple):
    """What a plan has still to compute."""

    sources: list[Source]
    probings: list[Probing]
    evaluations: list[Evaluation]


def missing(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Missing:
    """What is not stored of the evaluations, and of the encoders and probes that they need."""
    left = [one for one in evaluations if bench.known.result(one, limit) is None]
    probings = dict.fromkeys(one.probing for one in left)
    return Missing(
        [source for source in _sources(left) if bench.known.encoder(source) is None],
        [probing for probing in probings if not bench.known.fitted(probing)],
        left,
    )


def overview(bench: Bench, evaluations: Sequence[Evaluation], left: Missing) -> str:
    """The plan in one line: how much there is, and how much of it is ``left`` to compute."""
    return (
        f"{_some(len(evaluations), 'cell')}: {len(evaluations) - len(left.evaluations)} cached, "
        f"{len(left.evaluations)} to compute; {_some(len(_sources(evaluations)), 'encoder')}, "
        f"{len(left.sources)} to pretrain"
    )


def shares(bench: Bench, left: Missing, limit: int | None) -> list[tuple[str, float]]:
    """The title of each part of the work that is ``left``, and roughly its seconds."""
    parts = _parts(bench, left, limit)
    return [(bench.title(question), math.sqrt(one.low * one.high)) for question, one in parts]


def cost(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Cost:
    """The cost of the evaluations with nothing cached."""
    probings = dict.fromkeys(one.probing for one in evaluations)
    everything = Missing(_sources(evaluations), [*probings], [*evaluations])
    return _total([part for _, part in _parts(bench, everything, limit)])


def _named(bench: Bench, question: Question, limit: int | None) -> str:
    if not isinstance(question, Evaluation):
        return bench.title(question)
    tested = _sizes(bench, question.probing.dataset).test
    return f"{bench.title(question)}, {min(limit or tested, tested)} images"


def _parts(bench: Bench, left: Missing, limit: int | None) -> Iterator[tuple[Question, Cost]]:
    """Each part with its cost; feature-based probes are fast and omitted."""
    seconds, sizes = cache(partial(_seconds, bench)), cache(partial(_sizes, bench))
    for source in left.sources:
        if isinstance(source, Pretraining):
            recipe = source.recipe
            images = sizes(source.dataset).training(recipe.images) // recipe.batch * recipe.batch
            images *= recipe.epochs
            step = seconds(source.encoder, source.dataset, source.objective, recipe.precision)
            yield source, Cost(images * step, images * step)
    for probing in left.probings:
        passes = bench.probe(probing).passes() * sizes(probing.dataset).training(probing.images)
        if passes:
            unit = passes * seconds(probing.source.encoder, probing.dataset)
            yield probing, Cost(unit, unit)
    for one in left.evaluations:
        attack, tested = bench.catalog.build("attacks", one.attack), sizes(one.probing.dataset)
        assert isinstance(attack, Attack)
        images = min(limit or tested.test, tested.test)
        unit = images * seconds(one.probing.source.encoder, one.probing.dataset)
        yield one, Cost(*(unit * n for n in attack.passes(tested.classes)))


def _seconds(
    bench: Bench,
    spec: Spec,
    dataset: Spec,
    objective: Spec | None = None,
    precision: str = "fp32",
) -> float:
    """Seconds of one image forward and back, through an objective or an encoder alone."""
    device, size = bench.device, _sizes(bench, dataset).size
    images = torch.zeros(_BATCH[device.type], 3, size, size, device=device, requires_grad=True)
    index, taken = torch.arange(len(images), device=device), list[float]()
    kind, made = ("methods", objective) if objective else ("encoders", spec)
    with preserved_random_state(), bench.stage(SpecError, kind, made):
        encoder = bench.catalog.build("encoders", spec).to(device)
        if objective is not None:
            method = bench.catalog.build_objective(objective, encoder).to(device)
            labels = index % 2 if method.uses_labels else None
            batch = Batch(images.detach(), index, labels, 0, 1, 0.0, Generator(device))
        for _ in range(2):  # the first one is slower
            start = time.perf_counter()
            if objective is not None:
                torch.autograd.backward(loss_of(method, batch, precision))
            else:
                encoder.eval()(images).sum().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - start)
    return min(taken) / len(images)


class _Sizes(NamedTuple):
    """The images of a data set, and their height in pixels."""

    all_training: int
    test: int
    classes: int
    size: int

    def training(self, count: int | None) -> int:
        """The number of training images where ``count`` are asked for (None: all)."""
        return min(count or self.all_training, self.all_training)


def _sizes(bench: Bench, dataset: Spec) -> _Sizes:
    """The sizes that are read; CIFAR-10's of what is not there yet."""
    try:
        data = bench.data(dataset)
    except DataError:
        return _Sizes(50_000, 10_000, 10, 32)
    size = data.test.images.shape[-1]
    return _Sizes(len(data.train) + len(data.held_out), len(data.test), len(data.classes), size)


def _sources(evaluations: Iterable[Evaluation]) -> list[Source]:
    return list(dict.fromkeys(evaluation.probing.source for evaluation in evaluations))


def _total(parts: Sequence[Cost]) -> Cost:
    return Cost(sum(part.low for part in parts), sum(part.high for part in parts))


def _some(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
