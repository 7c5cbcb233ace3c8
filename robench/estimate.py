"""What a plan would compute, and roughly for how long."""

import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from robench.bench import Bench, radius
from robench.contracts import Attack, Encoder
from robench.questions import Evaluation, Pretraining, Probing, generator
from robench.tensors.modes import evaluating, preserved_random_state

_SMALL = 8, 32  # images in the timed batches, so that a timing takes a second and not a minute
_CLASSES = 10  # where an attack's budget depends on them; more change it little


def estimate(bench: Bench, evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """The plan in lines: what is cached, what would be computed, and a rough time for it.

    Times are measured on single steps, here and now. An attack that stops at the first success has
    a range: from the time when nothing withstands it to the time when every image withstands it.
    """
    missing = [e for e in evaluations if bench.store.result(e) is None]
    trainings = list(dict.fromkeys(e.probing.pretraining for e in missing))
    untrained = [training for training in trainings if not bench.trained(training)]
    encoders = len({e.probing.pretraining for e in evaluations})
    yield (
        f"{_some(len(evaluations), 'cell')}: {len(evaluations) - len(missing)} cached, "
        f"{len(missing)} to compute; {_some(encoders, 'encoder')}, {len(untrained)} to pretrain"
    )
    low = high = 0.0
    for training in untrained:
        seconds = _pretraining(bench, training)
        low, high = low + seconds, high + seconds
        method = bench.catalog.label("methods", training.objective)
        source = bench.catalog.label("datasets", training.dataset)
        yield f"  pretrain {method} on {source}, seed {training.seed}: {_span(seconds, seconds)}"
    passes: dict[str, float] = {}
    for evaluation in missing:
        architecture = evaluation.probing.pretraining.encoder
        if architecture not in passes:
            size = _size(bench, evaluation.probing.dataset)
            passes[architecture] = _pass(bench, architecture, size, evaluation.batch)
    for evaluation in {e.probing: e for e in missing}.values():
        unit = passes[evaluation.probing.pretraining.encoder]
        seconds = unit * _probe_passes(bench, evaluation.probing)
        low, high = low + seconds, high + seconds
        labels = bench.labels(evaluation)
        if seconds:
            yield (
                f"  fit {labels.probe} on {labels.target}, {labels.method} {labels.source}: "
                f"{_span(seconds, seconds)}"
            )
    for evaluation in missing:
        attack = bench.catalog.build("attacks", evaluation.attack)
        assert isinstance(attack, Attack)
        count = evaluation.limit or 10_000
        unit = passes[evaluation.probing.pretraining.encoder] * count
        least, most = (unit * times for times in attack.passes(_CLASSES))
        low, high = low + least, high + most
        labels = bench.labels(evaluation)
        name = " ".join(word for word in (labels.attack, *radius(evaluation.attack)) if word)
        yield (
            f"  {labels.method} {labels.source} -> {labels.target}, {name}, "
            f"{count} images: {_span(least, most)}"
        )
    yield f"in all {_span(low, high)}, on {bench.device}" if missing else "nothing to compute"


def _pretraining(bench: Bench, question: Pretraining) -> float:
    recipe = question.recipe
    total = recipe.images or 50_000
    size = _size(bench, question.dataset)
    with preserved_random_state():
        encoder = bench.catalog.build("encoders", question.encoder)
        objective = bench.catalog.build_objective(question.objective, encoder).to(bench.device)
    dice = generator(question, "estimate", bench.device)
    half = recipe.precision == "bf16"

    def step(count: int) -> None:
        images = torch.rand(count, 3, size, size, generator=dice, device=bench.device)
        with torch.autocast(bench.device.type, dtype=torch.bfloat16, enabled=half):
            loss = objective(images, dice)
        loss.backward()

    steps = recipe.epochs * (total // recipe.batch)
    return steps * _seconds(step, recipe.batch, bench.device)


def _probe_passes(bench: Bench, question: Probing) -> float:
    """Of the encoder, to fit a probe that is not stored."""
    if bench.store.probe(question) is not None:
        return 0.0
    return bench.probe(question).passes() * (question.images or 50_000)


def _pass(bench: Bench, architecture: str, size: int, batch: int) -> float:
    """Seconds for one image, in a batch, forward and back."""
    with preserved_random_state():
        encoder = bench.catalog.build("encoders", architecture).to(bench.device)
    assert isinstance(encoder, Encoder)

    def step(count: int) -> None:
        images = torch.zeros(count, 3, size, size, device=bench.device, requires_grad=True)
        torch.autograd.grad(encoder(images).sum(), images)

    with evaluating(encoder):
        return _seconds(step, batch, bench.device) / batch


def _size(bench: Bench, dataset: str) -> int:
    return int(getattr(bench.catalog.build("datasets", dataset), "size", 32))


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


def _span(low: float, high: float) -> str:
    first, last = _words(low), _words(high)
    return f"about {first}" if first == last else f"{first} to {last}"


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
