"""A plan in a dozen lines: what is stored, what would be computed, and roughly how long that takes.

Operations are counted, and divided by one measured rate. Where the plan's own answers are stored
with their seconds, made on this device with as many threads, the others of the same kind take as
long for an operation.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from statistics import median
from typing import NamedTuple

import torch
from torch import nn

from robench.contracts import Attack, DataError, Teacher
from robench.engine.bench import Bench
from robench.engine.operations import Operations, Step, Stub, of_encoder, of_step, rate
from robench.engine.progress import duration
from robench.engine.work import needed, threads
from robench.grid.questions import Evaluation, Pretraining, Probing, Question
from robench.grid.records import Provenance
from robench.grid.spec import Spec, SpecError
from robench.store.provenance import describe
from robench.tensors.modes import preserved_random_state

_STANDING = 1 / 30  # of the images, on which an attack spends all of its budget
_ROWS = 9  # of a plan; the smallest others are one row together


def estimate(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Iterator[str]:
    """The plan in lines: what is cached, what would be computed, and a rough time for each kind."""
    left = missing(bench, evaluations, limit)
    yield overview(bench, evaluations, left)
    if not left:
        yield "nothing to compute"
        return
    rows: dict[str, list[float]] = defaultdict(list)
    for question, seconds in _timed(bench, evaluations, left, limit):
        rows[_kind(bench, question)].append(seconds)
    shown = sorted(rows, key=lambda name: -sum(rows[name]))[:_ROWS]
    for name in (name for name in rows if name in shown):
        yield f"  {name}, {len(rows[name])}: about {duration(sum(rows[name]))}"
    if others := [one for name in rows if name not in shown for one in rows[name]]:
        yield f"  others, {len(others)}: about {duration(sum(others))}"
    workers = bench.work.places.workers if bench.work else 1
    total, longest = sum(map(sum, rows.values())), max(map(max, rows.values()))
    on = f"{bench.device}" if workers == 1 else f"{workers} workers, {bench.device}"
    yield f"in all about {duration(max(total / workers, longest))}, on {on}"


def missing(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> list[Question]:
    """What is not stored of the evaluations, and of the encoders and probes that they need."""
    return needed(bench, [one for one in evaluations if bench.known.result(one, limit) is None])


def overview(bench: Bench, evaluations: Sequence[Evaluation], left: Sequence[Question]) -> str:
    """The plan in one line: how much there is, and how much of it is ``left`` to compute."""
    sources = {one.probing.source for one in evaluations}
    asked = list(sources)
    while asked:  # teachers, and theirs
        asked = [one.teacher for one in asked if isinstance(one, Pretraining) and one.teacher]
        sources.update(asked)
    cells = len([one for one in left if isinstance(one, Evaluation)])
    return (
        f"{_some(len(evaluations), 'cell')}: {len(evaluations) - cells} cached, "
        f"{cells} to compute; {_some(len(sources), 'encoder')}, "
        f"{len(sources.intersection(left))} to pretrain"
    )


def shares(
    bench: Bench, evaluations: Sequence[Evaluation], left: Sequence[Question], limit: int | None
) -> list[tuple[str, float]]:
    """The title of each part of the work that is ``left``, and roughly its seconds."""
    timed = _timed(bench, evaluations, left, limit)
    return [(bench.title(question), seconds) for question, seconds in timed]


def cost(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> str:
    """The time of the evaluations with nothing cached, in words."""
    probings = dict.fromkeys(one.probing for one in evaluations)
    all_of_it = [*dict.fromkeys(one.source for one in probings), *probings, *evaluations]
    timed = _timed(bench, evaluations, all_of_it, limit)
    return f"about {duration(sum(seconds for _, seconds in timed))}"


def _timed(
    bench: Bench, evaluations: Sequence[Evaluation], asked: Sequence[Question], limit: int | None
) -> list[tuple[Question, float]]:
    if not asked:
        return []
    with threads(bench.work.threads if bench.work else None):
        seconds = _Seconds(bench, evaluations, limit)
        return [(question, seconds(question)) for question in asked]


def _kind(bench: Bench, question: Question) -> str:
    label = bench.catalog.label
    match question:
        case Pretraining():
            return f"pretrain {label('methods', question.objective)}"
        case Probing():
            return f"fit {label('probes', question.probe)}"
        case Evaluation():
            return f"attack {label('attacks', question.attack.without('norm', 'eps'))}"
    return "import"


class _Seconds:
    """The seconds that a question takes, by operations and past seconds."""

    def __init__(self, bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> None:
        self._bench, self._limit = bench, limit
        self._encoder: Callable[[Spec, int], Operations] = cache(self._count_encoder)
        self._step: Callable[[Spec], Step] = cache(self._count_step)
        self.sizes: Callable[[Spec], _Sizes] = cache(self._read_sizes)
        self._rate: Callable[[str], float] = cache(self._measure)
        self._probings = list(dict.fromkeys(one.probing for one in evaluations))
        past: dict[str, list[float]] = defaultdict(list)
        for source in {one.source for one in self._probings}:
            if (card := bench.store.card(source)) and self._like_now(card.provenance):
                past[_kind(bench, source)].append(card.seconds / self._operations(source))
        for one in evaluations:
            if (found := bench.store.result(one)) and self._like_now(found.cell.provenance):
                done = self._operations(one, found.n)
                past[_kind(bench, one)].append(found.cell.seconds / done)
        self._past = {kind: median(several) for kind, several in past.items()}

    def __call__(self, question: Question) -> float:
        operations = self._operations(question)
        if (past := self._past.get(_kind(self._bench, question))) is not None:
            return operations * past
        half = isinstance(question, Pretraining) and question.recipe.precision == "bf16"
        return operations / self._rate("bf16" if half else "fp32") if operations else 0.0

    def _operations(self, question: Question, tested: int | None = None) -> float:
        """The operations of an answer; of an evaluation, of ``tested`` images."""
        match question:
            case Pretraining(recipe=recipe):
                sizes = self.sizes(question.dataset)
                count = sizes.training(recipe.images) // recipe.batch
                encoder = self._encoder(question.encoder, sizes.side)
                step = self._step(question.objective).of(encoder, recipe.batch, sizes.side)
                return recipe.epochs * count * step
            case Probing(source=source):
                sizes = self.sizes(question.dataset)
                passes = 1 + 3 * self._bench.probe(question).passes()
                encoder = self._encoder(source.encoder, sizes.side)
                return encoder.times(passes).each * sizes.training(question.images)
            case Evaluation(probing=probing):
                sizes = self.sizes(probing.dataset)
                images = tested or min(self._limit or sizes.test, sizes.test)
                attack = self._bench.catalog.build("attacks", question.attack)
                assert isinstance(attack, Attack)
                least, most = attack.passes(sizes.classes)
                # A backward pass to the images costs as much as one forward; 6 are for evidence.
                passes = 6 + 2 * (least + _STANDING * (most - least))
                encoder = self._encoder(probing.source.encoder, sizes.side).times(passes)
                return encoder.of(images) if images else 0.0
        return 0.0

    def _like_now(self, provenance: Provenance) -> bool:
        here = describe(self._bench.device), torch.get_num_threads()
        return (provenance.device, provenance.threads) == here

    def _count_encoder(self, spec: Spec, side: int) -> Operations:
        with preserved_random_state(), self._bench.stage(SpecError, "encoders", spec):
            return of_encoder(self._bench.catalog.build("encoders", spec), side)

    def _count_step(self, spec: Spec) -> Step:
        with preserved_random_state(), self._bench.stage(SpecError, "methods", spec):
            stub, teacher = Stub(), Teacher(Stub(), nn.Linear(Stub.width, Stub.width))
            objective = self._bench.catalog.build_objective(spec, stub, 2, teacher)
            return of_step(objective, stub)

    def _measure(self, precision: str) -> float:
        """The rate of the largest network of the plan."""
        places = {(one.source.encoder, self.sizes(one.dataset).side) for one in self._probings}
        spec, side = max(places, key=lambda place: self._encoder(*place).each)
        with preserved_random_state(), self._bench.stage(SpecError, "encoders", spec):
            made = self._bench.catalog.build("encoders", spec)
            return rate(made, side, self._bench.device, precision)

    def _read_sizes(self, dataset: Spec) -> "_Sizes":
        """The sizes that are read; CIFAR-10's of what is not there yet."""
        try:
            data = self._bench.data(dataset)
        except DataError:
            return _Sizes(50_000, 10_000, 10, 32)
        both, side = len(data.train) + len(data.held_out), data.test.images.shape[-1]
        return _Sizes(both, len(data.test), len(data.classes), side)


class _Sizes(NamedTuple):
    """The images of a data set, its classes, and the pixels of a side."""

    all_training: int
    test: int
    classes: int
    side: int

    def training(self, count: int | None) -> int:
        """The number of training images where ``count`` are asked for (None: all)."""
        return min(count or self.all_training, self.all_training)


def _some(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
