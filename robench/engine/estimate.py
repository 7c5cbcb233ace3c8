"""What a plan would compute, and roughly for how long."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from robench.contracts import Attack, Batch, Encoder
from robench.engine.bench import Bench
from robench.grid.questions import Evaluation, Pretraining, Probing, generator
from robench.grid.records import radius
from robench.grid.spec import Spec
from robench.tensors.modes import evaluating, preserved_random_state

_SMALL = 8, 32  # images in the timed batches, so that a timing takes a second and not a minute
_TRAINING, _TEST = 50_000, 10_000  # images where all are used: CIFAR's
_CLASSES = 10  # where an attack's budget depends on them; more change it little


@dataclass(frozen=True)
class Cost:
    """What a part of a plan takes, in seconds: at least ``low`` and at most ``high``.

    An attack that stops at the first success has a range: from the time when nothing withstands it
    to the time when every image withstands it.
    """

    what: str
    low: float
    high: float

    def __str__(self) -> str:
        first, last = _words(self.low), _words(self.high)
        return f"about {first}" if first == last else f"{first} to {last}"


def estimate(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Iterator[str]:
    """The plan in lines: what is cached, what would be computed, and a rough time for it.

    Times are measured on single steps, here and now.
    """
    missing = [e for e in evaluations if bench.known(e, limit) is None]
    trainings = dict.fromkeys(e.probing.pretraining for e in missing)
    untrained = [training for training in trainings if not bench.trained(training)]
    encoders = len({e.probing.pretraining for e in evaluations})
    yield (
        f"{_some(len(evaluations), 'cell')}: {len(evaluations) - len(missing)} cached, "
        f"{len(missing)} to compute; {_some(encoders, 'encoder')}, {len(untrained)} to pretrain"
    )
    parts = []
    probings = dict.fromkeys(e.probing for e in missing)
    unfitted = [probing for probing in probings if bench.store.probe(probing) is None]
    for part in costs(bench, untrained, unfitted, missing, limit):
        parts.append(part)
        yield f"  {part.what}: {part}"
    yield f"in all {total(parts)}, on {bench.device}" if missing else "nothing to compute"


def cost(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Cost:
    """What the evaluations would take from nothing, whatever is cached already."""
    probings = list(dict.fromkeys(e.probing for e in evaluations))
    trainings = list(dict.fromkeys(probing.pretraining for probing in probings))
    return total(list(costs(bench, trainings, probings, evaluations, limit)))


def costs(
    bench: Bench,
    trainings: Sequence[Pretraining],
    probings: Sequence[Probing],
    evaluations: Sequence[Evaluation],
    limit: int | None,
) -> Iterator[Cost]:
    """What each takes; a probe that sees features alone takes nothing worth telling."""
    steps: dict[tuple[object, ...], float] = {}
    for training in trainings:
        alike = (training.objective, training.encoder, training.recipe, _size(bench, training))
        if alike not in steps:
            steps[alike] = _pretraining(bench, training)
        method = bench.catalog.label("methods", training.objective)
        source = bench.catalog.label("datasets", training.dataset)
        name = f"pretrain {method} on {source}, seed {training.seed}"
        yield Cost(name, steps[alike], steps[alike])
    passes: dict[Spec, float] = {}
    for evaluation in evaluations:
        architecture = evaluation.probing.pretraining.encoder
        if architecture not in passes:
            size = _size(bench, evaluation.probing)
            passes[architecture] = _pass(bench, architecture, size, evaluation.batch)
    for probing in probings:
        seen = bench.probe(probing).passes() * (probing.images or _TRAINING)
        if seen:
            seconds = passes[probing.pretraining.encoder] * seen
            yield Cost(f"fit {_title(bench, probing)}", seconds, seconds)
    for evaluation in evaluations:
        attack = bench.catalog.build("attacks", evaluation.attack)
        assert isinstance(attack, Attack)
        count = limit or _TEST
        unit = passes[evaluation.probing.pretraining.encoder] * count
        labels = bench.store.labels(evaluation)
        attacked = " ".join(word for word in (labels.attack, *radius(evaluation.attack)) if word)
        name = f"{labels.method} {labels.source} -> {labels.target}, {attacked}, {count} images"
        low, high = attack.passes(_CLASSES)
        yield Cost(name, unit * low, unit * high)


def total(parts: Sequence[Cost]) -> Cost:
    """All the parts together."""
    return Cost("in all", sum(part.low for part in parts), sum(part.high for part in parts))


def _title(bench: Bench, probing: Probing) -> str:
    label, trained = bench.catalog.label, probing.pretraining
    return (
        f"{label('probes', probing.probe)} on {label('datasets', probing.dataset)}, "
        f"{label('methods', trained.objective)} {label('datasets', trained.dataset)}"
    )


def _pretraining(bench: Bench, question: Pretraining) -> float:
    recipe = question.recipe
    available = recipe.images or _TRAINING
    size = _size(bench, question)
    with preserved_random_state():
        encoder = bench.catalog.build("encoders", question.encoder)
        objective = bench.catalog.build_objective(question.objective, encoder).to(bench.device)
    dice = generator(question, "estimate", bench.device)
    half = recipe.precision == "bf16"
    rows = torch.arange(_SMALL[1], device=bench.device)

    def step(count: int) -> None:
        images = torch.rand(count, 3, size, size, generator=dice, device=bench.device)
        with torch.autocast(bench.device.type, dtype=torch.bfloat16, enabled=half):
            labels = torch.zeros_like(rows[:count]) if objective.uses_labels else None
            loss = objective(Batch(images, rows[:count], labels, 0, recipe.epochs, 0.0, dice))
        loss.backward()

    steps = recipe.epochs * (available // recipe.batch)
    return steps * _seconds(step, recipe.batch, bench.device)


def _pass(bench: Bench, architecture: Spec, size: int, batch: int) -> float:
    """Seconds for one image, in a batch, forward and back."""
    with preserved_random_state():
        encoder = bench.catalog.build("encoders", architecture).to(bench.device)
    assert isinstance(encoder, Encoder)

    def step(count: int) -> None:
        images = torch.zeros(count, 3, size, size, device=bench.device, requires_grad=True)
        torch.autograd.grad(encoder(images).sum(), images)

    with evaluating(encoder):
        return _seconds(step, batch, bench.device) / batch


def _size(bench: Bench, question: Pretraining | Probing) -> int:
    return int(getattr(bench.catalog.build("datasets", question.dataset), "size", 32))


def _seconds(step: Callable[[int], None], batch: int, device: torch.device) -> float:
    """Seconds for a step of ``batch`` images, told from two small ones.

    They give the time of a call, which is most of a small network's step, and of an image. A large
    network's whole batch would take minutes.
    """
    few, more = _SMALL
    first, second = _timed(lambda: step(few), device), _timed(lambda: step(more), device)
    each = max(0.0, (second - first) / (more - few))
    return max(first - few * each, 0.0) + batch * each


def _timed(step: Callable[[], None], device: torch.device) -> float:
    """Seconds for one step, the quickest of three, after one to warm up."""
    step()
    _wait(device)
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        step()
        _wait(device)
        taken.append(time.perf_counter() - start)
    return min(taken)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _some(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 100 else f"{hours:,.0f} h"
