"""A plan in lines: what is cached, what would be computed, and roughly how long that takes.

Operations are counted once for each architecture and method, on two images. Seconds come from one
rate for all of them: that of encoders trained on this device before, or else of a timed batch.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from robench.contracts import Attack, Batch, Encoder
from robench.engine.bench import Bench
from robench.grid.questions import Evaluation, Pretraining, Probing, Source, generator
from robench.grid.records import radius
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
    missing = [one for one in evaluations if bench.known(one, limit) is None]
    sources = dict.fromkeys(one.probing.source for one in missing)
    untrained = [source for source in sources if not bench.trained(source)]
    encoders = len({one.probing.source for one in evaluations})
    yield (
        f"{_some(len(evaluations), 'cell')}: {len(evaluations) - len(missing)} cached, "
        f"{len(missing)} to compute; {_some(encoders, 'encoder')}, {len(untrained)} to pretrain"
    )
    if not missing:
        yield "nothing to compute"
        return
    probings = dict.fromkeys(one.probing for one in missing)
    unfitted = [probing for probing in probings if not bench.fitted(probing)]
    counts = _Counts(bench)
    rate = counts.rate(one.probing.source for one in evaluations)
    parts = []
    for name, low, high in _parts(counts, untrained, unfitted, missing, limit):
        parts.append(Cost(low / rate, high / rate))
        yield f"  {name}: {parts[-1]}"
    yield f"in all {_total(parts)}, on {bench.device}"


def cost(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Cost:
    """What the evaluations would take from nothing, whatever is cached already."""
    probings, counts = list(dict.fromkeys(one.probing for one in evaluations)), _Counts(bench)
    sources = list(dict.fromkeys(probing.source for probing in probings))
    rate = counts.rate(sources)
    parts = _parts(counts, sources, probings, evaluations, limit)
    return _total(Cost(low / rate, high / rate) for _, low, high in parts)


def _parts(
    counts: "_Counts",
    sources: Iterable[Source],
    probings: Iterable[Probing],
    evaluations: Iterable[Evaluation],
    limit: int | None,
) -> Iterator[tuple[str, float, float]]:
    """Each part with its operations; feature-based probes are fast and omitted."""
    bench, label = counts.bench, counts.bench.catalog.label
    for source in sources:
        if isinstance(source, Pretraining):
            method, data = label("methods", source.objective), label("datasets", source.dataset)
            count = counts.training(source)
            yield f"pretrain {method} on {data}, seed {source.seed}", count, count
    for probing in probings:
        passes = bench.probe(probing).passes() * (probing.images or _TRAINING)
        if passes:
            name = f"{label('probes', probing.probe)} on {label('datasets', probing.dataset)}"
            count = passes * counts.encoding(probing.source.encoder, probing.dataset)
            yield f"fit {name}, {_method(bench, probing)}", count, count
    for one in evaluations:
        attack = bench.catalog.build("attacks", one.attack)
        assert isinstance(attack, Attack)
        images, labels = limit or _TEST, bench.store.labels(one)
        unit = images * counts.encoding(one.probing.source.encoder, one.probing.dataset)
        attacked = " ".join(word for word in (labels.attack, *radius(one.attack)) if word)
        low, high = attack.passes(_CLASSES)
        name = f"{labels.method} {labels.source} -> {labels.target}, {attacked}, {images} images"
        yield name, unit * low, unit * high


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


@dataclass
class _Counts:
    """Operations, counted once for each architecture and method."""

    bench: Bench
    _known: dict[object, float] = field(default_factory=dict)

    def training(self, question: Pretraining) -> float:
        """Operations of a whole pretraining."""
        recipe, size = question.recipe, self._size(question.dataset)
        place = question.objective, question.encoder, size
        if place not in self._known:
            with preserved_random_state():
                encoder = self.bench.catalog.build("encoders", question.encoder)
                objective = self.bench.catalog.build_objective(question.objective, encoder)
            draws, index = generator(question, "estimate"), torch.arange(2)
            images = torch.rand(2, 3, size, size, generator=draws)
            labels = index if objective.uses_labels else None
            batch = Batch(images, index, labels, 0, recipe.epochs, 0.0, draws)
            with _Operations() as counted:
                objective(batch).backward()
            self._known[place] = counted.number / 2
        images_seen = (recipe.images or _TRAINING) // recipe.batch * recipe.batch
        return self._known[place] * recipe.epochs * images_seen

    def encoding(self, spec: Spec, dataset: Spec) -> float:
        """Operations of one image, forward and back."""
        size = self._size(dataset)
        if (spec, size) not in self._known:
            with _Operations() as counted:
                self._pass(self._encoder(spec), size, 2)
            self._known[spec, size] = counted.number / 2
        return self._known[spec, size]

    def rate(self, sources: Iterable[Source]) -> float:
        """Operations a second: of earlier trainings on this device, or of a pass that is timed."""
        found = list(dict.fromkeys(sources))
        device = describe(self.bench.device)
        past = [
            (self.training(source), card.seconds)
            for source in found
            if isinstance(source, Pretraining)
            and (card := self.bench.store.card(source)) is not None
            and card.provenance.device == device
        ]
        if sum(seconds for _, seconds in past) > _LONG:
            return sum(count for count, _ in past) / sum(seconds for _, seconds in past)
        source = found[0]
        data = source.dataset if isinstance(source, Pretraining) else Spec("cifar10")
        encoder, size = self._encoder(source.encoder).to(self.bench.device), self._size(data)
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            self._pass(encoder, size, _BATCH)
            if self.bench.device.type == "cuda":
                torch.cuda.synchronize(self.bench.device)
            taken.append(time.perf_counter() - start)
        return _BATCH * self.encoding(source.encoder, data) / min(taken)

    def _encoder(self, spec: Spec) -> Encoder:
        with preserved_random_state():
            encoder = self.bench.catalog.build("encoders", spec)
        assert isinstance(encoder, Encoder)
        return encoder

    def _pass(self, encoder: Encoder, size: int, count: int) -> None:
        device = next(encoder.parameters()).device
        images = torch.zeros(count, 3, size, size, device=device, requires_grad=True)
        with evaluating(encoder):
            torch.autograd.grad(encoder(images).sum(), images)

    def _size(self, dataset: Spec) -> int:
        return int(getattr(self.bench.catalog.build("datasets", dataset), "size", 32))


def _method(bench: Bench, probing: Probing) -> str:
    labels = bench.store.labels(Evaluation(probing, Spec("clean")))
    return f"{labels.method} {labels.source}"


def _total(parts: Iterable[Cost]) -> Cost:
    found = list(parts)
    return Cost(sum(part.low for part in found), sum(part.high for part in found))


def _some(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 100 else f"{hours:,.0f} h"
