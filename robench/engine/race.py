"""Attacks methods batch after batch, until a test that holds at any look tells them apart."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from robench.engine.bench import Bench
from robench.engine.local import answers
from robench.grid.questions import Evaluation
from robench.grid.records import Labels, Result, radius
from robench.grid.spec import SpecError
from robench.trust.betting import capital, interval
from robench.trust.statistics import Interval, holm, on_same_images


@dataclass(frozen=True)
class Verdict:
    """Two methods under one attack, on the first ``n`` of ``total`` test images.

    ``difference`` is the accuracy of ``a`` less that of ``b``, as a fraction, ``interval`` its
    interval at 1 - alpha and ``p`` its p-value, corrected for all pairs; both hold at any look.
    """

    a: str
    b: str
    place: str
    n: int
    total: int
    difference: float
    interval: Interval
    p: float
    decided: bool

    def __str__(self) -> str:
        low, high = (f"{100 * end:+.1f}" for end in self.interval)
        better, worse = (self.a, self.b) if self.difference > 0 else (self.b, self.a)
        said = f"{better} above {worse}" if self.decided else f"{self.a} and {self.b} undecided"
        saved = f"{1 - self.n / self.total:.0%} of the images saved" if self.decided else "all used"
        return (
            f"{self.place}: {said} after {self.n:,} of {self.total:,} images ({saved}); "
            f"{self.a} less {self.b} {100 * self.difference:+.1f} points, {low} to {high}, "
            f"p = {self.p:.3g}"
        )


def race(
    bench: Bench, evaluations: Sequence[Evaluation], limit: int | None, alpha: float
) -> Iterator[Verdict]:
    """Decide between all pairs of methods under each attack, on ``limit`` images at most.

    Each step adds a batch to the cells of the methods that are not told apart yet, where the cell
    has it not. Raises SpecError for fewer than two methods or an alpha that is not in (0, 1).
    """
    if not 0 < alpha < 1:
        raise SpecError(f"alpha={alpha} should be between 0 and 1, such as 0.05")
    places = defaultdict[Labels, dict[str, list[Evaluation]]](lambda: defaultdict(list))
    for one in evaluations:
        if one.attack.name != "clean":
            labels = bench.store.labels(one)
            attack = " ".join(filter(None, (labels.attack, *radius(one.attack))))
            place = replace(labels, method="", attack=attack)
            places[place][labels.method].append(one)
    if not any(len(methods) > 1 for methods in places.values()):
        raise SpecError("a race needs two methods or more under the same attack")
    for place, methods in places.items():
        yield from _at_one_place(bench, place, methods, limit, alpha)


def _at_one_place(
    bench: Bench,
    place: Labels,
    methods: Mapping[str, Sequence[Evaluation]],
    limit: int | None,
    alpha: float,
) -> Iterator[Verdict]:
    first = next(iter(methods.values()))[0]
    size = len(bench.data(first.probing.dataset).test)
    total = size if limit is None else min(limit, size)
    pairs = list(combinations(methods, 2))
    p_values, open_ = dict.fromkeys(pairs, 1.0), dict.fromkeys(pairs)
    name = f"{place.source} → {place.target}, {place.attack}"
    for n in [*range(first.batch, total, first.batch), total]:
        racing = {method for pair in open_ for method in pair}
        found = {method: answers(bench, methods[method], n)[0] for method in racing}
        tried = {pair: _counts(found[pair[0]], found[pair[1]]) for pair in open_}
        for pair, (counts, _) in tried.items():
            p_values[pair] = min(p_values[pair], 1 / capital(counts))
        corrected = dict(zip(pairs, holm([*p_values.values()]), strict=True))
        for pair, (counts, seen) in tried.items():
            if corrected[pair] <= alpha or n == total:
                mean = sum(value * times for value, times in counts.items()) / seen
                within = interval(counts, alpha)
                decided = corrected[pair] <= alpha
                p = corrected[pair]
                yield Verdict(*pair, name, seen, total, mean, within, p, decided)
                del open_[pair]
        if not open_:
            return


def _counts(a: Sequence[Result], b: Sequence[Result]) -> tuple[dict[float, int], int]:
    """How often a is ahead on an image by each share of the seeds, and the number of images."""
    ours, theirs = ({one.seed: one for one in side} for side in (a, b))
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        raise SpecError("an attack failed; see the lines above")
    _, right = on_same_images([side[seed] for side in (ours, theirs) for seed in seeds])
    ahead = right[: len(seeds)].sum(0, dtype=np.int64) - right[len(seeds) :].sum(0, dtype=np.int64)
    values, times = np.unique(ahead / len(seeds), return_counts=True)
    return dict(zip(values.tolist(), times.tolist(), strict=True)), len(ahead)
