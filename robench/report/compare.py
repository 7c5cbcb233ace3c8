"""Two methods cell by cell: the same question, the same images, the same seeds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robench.contracts import Outcome
from robench.grid.questions import Evaluation
from robench.grid.records import Result
from robench.grid.spec import SpecError
from robench.report.order import attack_order, natural
from robench.trust.intervals import Interval, mean_sd
from robench.trust.paired import bootstrap, exact_mcnemar, holm


class Place(NamedTuple):
    """What is asked of both methods alike; the seed is not part of it."""

    scale: str
    source: str
    target: str
    encoder: str
    probe: str
    attack: str
    norm: str
    eps: str


@dataclass(frozen=True)
class Side:
    """One method's accuracy on the images of both, in percent.

    ``sd`` is over seeds, with n - 1 below; None for a single seed. ``alone`` counts how often, over
    images and seeds, only this method is right.
    """

    mean: float
    sd: float | None
    alone: int
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One question put to both methods, on ``n`` images.

    ``difference`` is a's accuracy less b's, in points, and ``interval`` its 95% interval. ``p`` is
    exact McNemar's, ``p_holm`` the same after Holm's correction over the comparison.
    """

    place: Place
    seeds: tuple[int, ...]
    n: int
    a: Side
    b: Side
    difference: float
    interval: Interval
    p: float
    p_holm: float


@dataclass(frozen=True)
class Comparison:
    """Method ``a`` against method ``b``, by their labels.

    ``without_partner`` counts the cells of each that were left out, ``replaced`` those of either
    whose place a later cell has.
    """

    a: str
    b: str
    rows: tuple[Row, ...]
    without_partner: tuple[int, int]
    replaced: int


_Seeds = dict[int, Result]


def compare(
    results: Iterable[Result], a: str, b: str, scale: Callable[[Evaluation], str]
) -> Comparison:
    """Compare two methods wherever both have an answer to the same question at the same ``scale``.

    Answers are paired by seed and by image. The bootstrap of each row draws from dice of its own,
    so that a row is the same in every table.

    Raises SpecError where the two are one, or have no answers to compare.
    """
    if a == b:
        raise SpecError(f"'{a}' is compared with itself; name two methods")
    found = list(results)
    ours, theirs = (_places(found, method, scale) for method in (a, b))
    rows = []
    for place in sorted(ours.keys() & theirs.keys(), key=_order):
        seeds = sorted(ours[place].keys() & theirs[place].keys())
        row = _row(place, {s: (ours[place][s], theirs[place][s]) for s in seeds}) if seeds else None
        if row is not None:
            rows.append(row)
    if not rows:
        raise SpecError(_nothing_shared(a, b, ours, theirs))
    corrected = holm([row.p for row in rows])
    kept = [sum(len(seeds) for seeds in places.values()) for places in (ours, theirs)]
    paired = sum(len(row.seeds) for row in rows)
    both = sum(result.cell.labels.method in (a, b) for result in found)
    return Comparison(
        a,
        b,
        tuple(replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)),
        (kept[0] - paired, kept[1] - paired),
        both - sum(kept),
    )


def _places(
    results: Sequence[Result], method: str, scale: Callable[[Evaluation], str]
) -> dict[Place, _Seeds]:
    """The method's results by place and seed, the latest where there are several."""
    places: dict[Place, _Seeds] = defaultdict(dict)
    for result in sorted(results, key=lambda r: (r.cell.provenance.finished, r.cell.key)):
        cell, labels = result.cell, result.cell.labels
        if labels.method == method:
            names = (labels.source, labels.target, labels.encoder, labels.probe, labels.attack)
            place = Place(scale(cell.evaluation), *names, cell.norm, cell.eps)
            places[place][cell.seed] = result
    return dict(places)


def _order(place: Place) -> tuple[object, ...]:
    names = (place.scale, place.source, place.target, place.encoder, place.probe)
    attack = attack_order(place.attack, place.norm, place.eps)
    return (*(natural(name) for name in names), *attack)


def _row(place: Place, pairs: Mapping[int, tuple[Result, Result]]) -> Row | None:
    """The comparison at one place; None where the two were not tried on the same images."""
    results = [result for pair in pairs.values() for result in pair]
    images = reduce(np.intersect1d, [result.outcome.index for result in results])
    if not len(images) or not _same_images(results, images):
        return None
    a, b = (
        np.stack([_correct(pair[side].outcome, images) for pair in pairs.values()])
        for side in (0, 1)
    )
    differences = a.sum(axis=0) - b.sum(axis=0)
    points = 100 / len(pairs)  # from right answers, summed over seeds, to percent
    drawn = bootstrap(differences, np.random.default_rng(0))
    p = exact_mcnemar(differences)
    return Row(
        place=place,
        seeds=tuple(pairs),
        n=len(images),
        a=_side(a, b, [pair[0] for pair in pairs.values()]),
        b=_side(b, a, [pair[1] for pair in pairs.values()]),
        difference=points * float(differences.mean()),
        interval=Interval(points * drawn.low, points * drawn.high),
        p=p,
        p_holm=p,
    )


def _side(
    own: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], results: Sequence[Result]
) -> Side:
    mean, sd = mean_sd([100 * float(seed.mean()) for seed in own])
    flags = dict.fromkeys(flag for result in results for flag in result.cell.flags)
    return Side(mean, sd, int((own & ~other).sum()), tuple(flags))


def _rows_of(outcome: Outcome, images: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Where ``images`` lie in the outcome's arrays."""
    order = np.argsort(outcome.index)
    return order[np.searchsorted(outcome.index, images, sorter=order)]


def _correct(outcome: Outcome, images: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    at = _rows_of(outcome, images)
    correct: npt.NDArray[np.bool_] = outcome.prediction[at] == outcome.label[at]
    return correct


def _same_images(results: Sequence[Result], images: npt.NDArray[np.int64]) -> bool:
    """Whether an index means the same image throughout, as far as hashes and labels can tell."""
    first = results[0]
    labels = first.outcome.label[_rows_of(first.outcome, images)]
    return all(
        np.array_equal(other.outcome.label[_rows_of(other.outcome, images)], labels)
        and (
            other.cell.data_sha256 == first.cell.data_sha256
            or not np.array_equal(other.outcome.index, first.outcome.index)
        )
        for other in results[1:]
    )


def _nothing_shared(
    a: str, b: str, ours: Mapping[Place, _Seeds], theirs: Mapping[Place, _Seeds]
) -> str:
    """Why there is nothing to compare, and the way out."""
    scales = [sorted({place.scale for place in places}) for places in (ours, theirs)]
    if not set(scales[0]) & set(scales[1]):
        at = (f"{name} at {'; '.join(own)}" for name, own in zip((a, b), scales, strict=True))
        why = f"they were never run at the same scale: {', '.join(at)}"
    elif not ours.keys() & theirs.keys():
        why = "no data sets, encoder, probe, attack, norm and eps are the same for both"
    else:
        shared = ours.keys() & theirs.keys()
        seeds = [
            ",".join(map(str, sorted({seed for place in shared for seed in places[place]})))
            for places in (ours, theirs)
        ]
        if any(ours[place].keys() & theirs[place].keys() for place in shared):
            why = "they were not tried on the same test images"
        else:
            why = f"no seeds are the same: {a} has {seeds[0]}, {b} has {seeds[1]}"
    return f"nothing to compare between {a} and {b}: {why}; one `robench run` makes both"
