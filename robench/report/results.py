"""Finished results: one for each place in a table, their order, and the long frames."""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType

import pandas as pd

from robench.contracts import Metric
from robench.grid.records import Labels, Result
from robench.grid.spec import SpecError, parse_number
from robench.trust.statistics import wilson

CLEAN = "clean"
_NORMS = ["", "linf", "l2", "l1"]


def one_each(results: Iterable[Result]) -> list[Result]:
    """The last result for each place in the table and seed."""
    places = {(one.labels, one.norm, one.eps, one.n, one.seed): one for one in results}
    return list(places.values())


def latest_last(results: Iterable[Result]) -> list[Result]:
    """The results by the time at which they were finished."""
    return sorted(results, key=lambda one: (one.cell.provenance.finished, one.cell.key))


def told_apart(results: Iterable[Result]) -> list[Result]:
    """The results, where test sets of one name but different data have a piece of their hash."""
    results, hashes = list(results), defaultdict(set)
    for one in results:
        hashes[one.labels.target].add(one.data)
    return [
        one
        if len(hashes[one.labels.target]) == 1
        else dataclasses.replace(
            one,
            labels=dataclasses.replace(
                one.labels, target=f"{one.labels.target} [{one.data[:7] or 'unknown'}]"
            ),
        )
        for one in results
    ]


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


class Order:
    """The order of rows, columns, legends and colours: as ``asked``, all else behind, by name.

    A name that was asked with other arguments stands right behind the one that was.
    """

    def __init__(self, asked: Iterable[Labels] = ()) -> None:
        self._asked: dict[str, dict[str, int]] = defaultdict(dict)
        for labels in asked:
            for field, name in vars(labels).items():
                self._asked[field].setdefault(name, len(self._asked[field]))

    def name(self, field: str, name: str) -> tuple[object, ...]:
        """A sort key for a name in that field of `Labels`."""
        asked = self._asked[field]
        alike = [place for one, place in asked.items() if _base(one) == _base(name)]
        return (asked.get(name, min(alike, default=len(asked))), name not in asked, natural(name))

    def attack(self, attack: str, norm: str = "", eps: str = "") -> tuple[object, ...]:
        """A sort key: clean, then attacks, each by norm (linf, l2, l1, others by name) and eps."""
        known = _NORMS.index(norm) if norm in _NORMS else len(_NORMS)
        return (attack != CLEAN, self.name("attack", attack), known, norm, radius(eps))

    def row(self, labels: Labels) -> tuple[object, ...]:
        """A sort key for all but the attack: source, target, method, encoder, probe."""
        names = vars(labels) | {"source": labels.domain}
        fields = ("source", "target", "method", "encoder", "probe")
        return tuple(self.name(field, names[field]) for field in fields)

    def result(self, result: Result) -> tuple[object, ...]:
        """A sort key: method, then as rows and columns of a table, then seed, n, key."""
        labels = result.labels
        ball = self.attack(labels.attack, result.norm, result.eps)
        last = (result.seed, result.n, result.cell.key)
        return (self.name("method", labels.method), self.row(labels), ball, *last)


def _base(name: str) -> str:
    return re.split(r"[ (]", name)[0]


# --- the long frames


def frame(
    results: Iterable[Result],
    order: Order | None = None,
    metrics: Mapping[str, Metric] = MappingProxyType({}),
) -> pd.DataFrame:
    """One row per result in their order, with a column for each of the ``metrics``.

    Accuracy and its 95% Wilson interval are fractions; ``eps`` is exact text, and ``eps_value`` the
    number, 0 for clean images and nan for an attack that nothing bounds. Raises ValueError where
    there are no results.
    """
    rows = [_row(one, metrics) for one in sorted(results, key=(order or Order()).result)]
    if not rows:
        raise ValueError("there are no results to report; `robench run` makes some")
    return pd.DataFrame(rows)


def _row(result: Result, metrics: Mapping[str, Metric]) -> dict[str, object]:
    interval = wilson(result.correct, result.n)
    row = {
        **vars(result.labels),
        "norm": result.norm,
        "eps": result.eps,
        "eps_value": _number(result),
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


def _number(result: Result) -> float:
    """The radius: 0 for clean images, nan for an attack without a ball."""
    return float(radius(result.eps)) if result.eps or result.labels.attack == CLEAN else math.nan


def outcomes(results: Iterable[Result]) -> pd.DataFrame:
    """One row for each image of each result, in the order given; see `robench.contracts.Outcome`.

    ``id`` is the image's row in the test split, ``label`` its class, ``clean`` and ``attacked`` the
    predictions, ``right`` whether both are right, and ``size`` that of the perturbation.
    """
    return pd.concat([_images(one) for one in results], ignore_index=True)


def _images(result: Result) -> pd.DataFrame:
    outcome = result.outcome
    return pd.DataFrame(
        {
            **vars(result.labels),
            "norm": result.norm,
            "eps": result.eps,
            "eps_value": _number(result),
            "seed": result.seed,
            "id": outcome.index,
            "label": outcome.label,
            "clean": outcome.clean_prediction,
            "attacked": outcome.prediction,
            "right": outcome.right,
            "size": outcome.size,
            "key": result.cell.key,
        }
    )
