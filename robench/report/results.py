"""Finished results: one for each place in a table, their order, and the long frame."""

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from robench.contracts import Metric
from robench.grid.records import Result
from robench.grid.spec import SpecError, parse_number
from robench.trust.statistics import on_common_images, wilson

CLEAN = "clean"
_NORMS = ["", "linf", "l2", "l1"]

Seeds = Mapping[int, Result]
"""Results of one method, by seed."""


def one_each(results: Iterable[Result]) -> list[Result]:
    """The last result for each place in the table and seed."""
    places = {(one.labels, one.norm, one.eps, one.n, one.seed): one for one in results}
    return list(places.values())


def latest_last(results: Iterable[Result]) -> list[Result]:
    """The results by the time at which they were finished."""
    return sorted(results, key=lambda one: (one.cell.provenance.finished, one.cell.key))


def paired(a: Seeds, b: Seeds) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether a and b are right on the images and seeds that they share: bool [seeds, n] each.

    Images are matched by index. n is 0 where nothing is shared, or where the same indices are
    images of different data.
    """
    both = sorted(a.keys() & b.keys())
    results = [side[one] for side in (a, b) for one in both]
    if not results or not same_data(results):
        return np.zeros((len(both), 0), bool), np.zeros((len(both), 0), bool)
    _, correct = on_common_images([result.outcome for result in results])
    return correct[: len(both)], correct[len(both) :]


def same_data(results: Sequence[Result]) -> bool:
    """Whether equal indices were read from equal images, as far as their hashes can show."""
    first = results[0]
    return all(
        other.cell.identity.data == first.cell.identity.data
        or not np.array_equal(other.outcome.index, first.outcome.index)
        for other in results
    )


# --- order


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key that puts ``rocl(steps=5)`` before ``rocl(steps=10)``."""
    return tuple(
        (int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", text)
    )


def radius(eps: str) -> Fraction:
    """The number that ``eps`` is, 0 where it is not a number, such as ""."""
    try:
        return parse_number(eps)
    except SpecError:
        return Fraction(0)


def attack_order(attack: str, norm: str, eps: str) -> tuple[object, ...]:
    """A sort key: clean first, then by name, norm (linf, l2, l1, others by name) and eps."""
    known = _NORMS.index(norm) if norm in _NORMS else len(_NORMS)
    return (attack != CLEAN, natural(attack), (known, norm), radius(eps))


def method_order(method: str, methods: Iterable[str]) -> tuple[object, ...]:
    """A sort key: as in ``methods`` by name, without arguments; what is not in there comes last."""
    names = [name.partition("(")[0] for name in (*methods, method)]
    return (names.index(names[-1]), natural(method))


def ordered(results: Iterable[Result], methods: Iterable[str] = ()) -> list[Result]:
    """By method, source, target, encoder, probe, attack, norm, eps, seed, n, key."""

    def order(result: Result) -> tuple[object, ...]:
        method, *names, attack = vars(result.labels).values()
        ball = attack_order(attack, result.norm, result.eps)
        key = (*method_order(method, methods), *map(natural, names), *ball)
        return (*key, result.seed, result.n, result.cell.key)

    return sorted(results, key=order)


# --- frames


def frame(
    results: Iterable[Result],
    methods: Sequence[str] = (),
    metrics: Mapping[str, Metric] = MappingProxyType({}),
) -> pd.DataFrame:
    """One row per result, ``methods`` first, with a column for each of the ``metrics``.

    Accuracy and its 95% Wilson interval are fractions. Raises ValueError where there are no
    results.
    """
    rows = [_row(result, metrics) for result in ordered(results, methods)]
    if not rows:
        raise ValueError("there are no results to report; `robench run` makes some")
    return pd.DataFrame(rows)


def _row(result: Result, metrics: Mapping[str, Metric]) -> dict[str, object]:
    interval = wilson(result.correct, result.n)
    row = {
        **vars(result.labels),
        "norm": result.norm,
        "eps": result.eps,
        "seed": result.seed,
        "n": result.n,
        "accuracy": result.correct / result.n,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "flags": ";".join(result.flags),
        "seconds": result.cell.seconds,
        "key": result.cell.key,
    }
    return row | {name: of(result.outcome) for name, of in metrics.items() if name not in row}
