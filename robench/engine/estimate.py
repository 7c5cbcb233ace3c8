"""A plan in lines: what is cached, what would be computed, and roughly how long that takes.

Operations are counted once for each architecture and method, on two images. Seconds come from one
rate for all of them: that of encoders trained on this device before, or else of a timed batch.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from robench.contracts import Attack, Batch, Encoder
from robench.engine.bench import Bench
from robench.grid.questions import Evaluation, Pretraining, Probing, Source
from robench.grid.spec import Spec
from robench.store.provenance import describe
from robench.tensors.modes import evaluating, preserved_random_state

_TRAINING, _TEST = 50_000, 10_000  # images where all are used: CIFAR's
_CLASSES = 10  # where an attack's budget depends on them; more change it little
_BATCH = 32  # of the timed pass
_LONG = 10.0  # seconds of past trainings that give a rate worth using


@dataclass(frozen=True)
class Cost:
    """Seconds, at least and at most: an attack ends early for images that it fools."""

    low: float
    high: float

    def __str__(self) -> str:
        first, last = _words(self.low), _words(self.high)
        return f"about {first}" if first == last else f"{first} to {last}"


def estimate(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Iterator[str]:
    """The plan in lines: what is cached, what would be computed, and a rough time for each."""
    missing = [one for one in evaluations if bench.known.result(one, limit) is None]
    untrained = [source for source in _sources(missing) if bench.known.encoder(source) is None]
    yield (
        f"{_some(len(evaluations), 'cell')}: {len(evaluations) - len(missing)} cached, "
        f"{len(missing)} to compute; {_some(len(_sources(evaluations)), 'encoder')}, "
        f"{len(untrained)} to pretrain"
    )
    if not missing:
        yield "nothing to compute"
        return
    unfitted = [p for p in dict.fromkeys(e.probing for e in missing) if not bench.known.fitted(p)]
    counts, parts = _Counts(bench, _sources(evaluations)), list[Cost]()
    for name, part in _parts(counts, untrained, unfitted, missing, limit):
        parts.append(part)
        yield f"  {name}: {part}"
    yield f"in all {_total(parts)}, on {bench.device}"


def cost(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Cost:
    """The cost of the evaluations with nothing cached."""
    probings, sources = dict.fromkeys(one.probing for one in evaluations), _sources(evaluations)
    parts = _parts(_Counts(bench, sources), sources, probings, evaluations, limit)
    return _total([part for _, part in parts])


def _parts(
    counts: "_Counts",
    sources: Iterable[Source],
    probings: Iterable[Probing],
    evaluations: Iterable[Evaluation],
    limit: int | None,
) -> Iterator[tuple[str, Cost]]:
    """Each part with its cost; feature-based probes are fast and omitted."""
    bench = counts.bench
    for source in sources:
        if isinstance(source, Pretraining):
            method = bench.catalog.label("methods", source.objective)
            data = bench.catalog.label("datasets", source.dataset)
            name = f"pretrain {method} on {data}, seed {source.seed}"
            yield name, counts.cost(counts.training(source))
    for probing in probings:
        passes = bench.probe(probing).passes() * (probing.images or _TRAINING)
        if passes:
            labels = bench.store.labels(Evaluation(probing, Spec("clean")))
            name = f"fit {labels.probe} on {labels.target}, {labels.method} {labels.source}"
            yield name, counts.cost(passes * counts.image(probing.source.encoder, probing.dataset))
    for one in evaluations:
        attack, images = bench.catalog.build("attacks", one.attack), limit or _TEST
        assert isinstance(attack, Attack)
        unit = images * counts.image(one.probing.source.encoder, one.probing.dataset)
        low, high = attack.passes(_CLASSES)
        yield f"{bench.title(one)}, {images} images", counts.cost(unit * low, unit * high)


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations, as torch's FlopCounterMode does, also within ascents."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.number += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


class _Counts:
    """Operations, counted once for each architecture and method, and their rate."""

    def __init__(self, bench: Bench, sources: Sequence[Source]) -> None:
        self.bench = bench
        self._known: dict[object, float] = {}
        self._rate = self._past_rate(sources) or self._timed_rate(sources[0])

    def cost(self, low: float, high: float | None = None) -> Cost:
        """The seconds of so many operations."""
        return Cost(low / self._rate, (high or low) / self._rate)

    def training(self, question: Pretraining) -> float:
        """Operations of a whole pretraining."""
        recipe = question.recipe
        images = (recipe.images or _TRAINING) // recipe.batch * recipe.batch
        image = self.image(question.encoder, question.dataset, question.objective)
        return image * images * recipe.epochs

    def image(self, spec: Spec, dataset: Spec, objective: Spec | None = None) -> float:
        """Operations of one image forward and back, through an objective or an encoder alone."""
        catalog, size = self.bench.catalog, self._size(dataset)
        if (spec, size, objective) not in self._known:
            with preserved_random_state():
                encoder = catalog.build("encoders", spec)
                method = None
                if objective is not None:
                    method = catalog.build_objective(objective, encoder)
            with _Operations() as counted:
                if method is None:
                    _pass(encoder, size, 2)
                else:
                    index, draws = torch.arange(2), torch.Generator().manual_seed(0)
                    images = torch.rand(2, 3, size, size, generator=draws)
                    labels = index if method.uses_labels else None
                    method(Batch(images, index, labels, 0, 1, 0.0, draws)).backward()
            self._known[spec, size, objective] = counted.number / 2
        return self._known[spec, size, objective]

    def _past_rate(self, sources: Iterable[Source]) -> float | None:
        """Operations a second of earlier trainings on this device, if they took long enough."""
        device, operations, seconds = describe(self.bench.device), 0.0, 0.0
        for source in sources:
            card = self.bench.store.card(source)
            if isinstance(source, Pretraining) and card and card.provenance.device == device:
                operations += self.training(source)
                seconds += card.seconds
        return operations / seconds if seconds > _LONG else None

    def _timed_rate(self, source: Source) -> float:
        """Operations a second of a batch that is passed through an encoder now."""
        device = self.bench.device
        data = source.dataset if isinstance(source, Pretraining) else Spec("cifar10")
        with preserved_random_state():
            encoder = self.bench.catalog.build("encoders", source.encoder).to(device)
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            _pass(encoder, self._size(data), _BATCH)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - start)
        return _BATCH * self.image(source.encoder, data) / min(taken)

    def _size(self, dataset: Spec) -> int:
        return int(getattr(self.bench.catalog.build("datasets", dataset), "size", 32))


def _pass(encoder: Encoder, size: int, count: int) -> None:
    """So many images forward and back."""
    device = next(encoder.parameters()).device
    images = torch.zeros(count, 3, size, size, device=device, requires_grad=True)
    with evaluating(encoder):
        torch.autograd.grad(encoder(images).sum(), images)


def _sources(evaluations: Iterable[Evaluation]) -> list[Source]:
    return list(dict.fromkeys(evaluation.probing.source for evaluation in evaluations))


def _total(parts: Sequence[Cost]) -> Cost:
    return Cost(sum(part.low for part in parts), sum(part.high for part in parts))


def _some(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 100 else f"{hours:,.0f} h"
