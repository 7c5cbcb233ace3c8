"""Which order of methods held: the published order of a column against the measured one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from robench.report.table import SIGNIFICANT, p_value
from robench.reproduction.lines import Line, Measured
from robench.reproduction.tables import Column


class Verdict(Enum):
    """What became of two methods' published order."""

    HELD = "held"
    REVERSED = "reversed"
    TIED = "not told apart here"
    EQUAL = "equal as published"
    FLAGGED = "no statement, a measured value is flagged"


@dataclass(frozen=True)
class Step:
    """Two rows that follow each other in an order, the higher first, and p of their difference.

    p is exact McNemar's on the same images; None where they share none.
    """

    higher: Line
    lower: Line
    p: float | None

    @property
    def tied(self) -> bool:
        """Whether the same images do not tell the two apart."""
        return self.p is None or self.p > SIGNIFICANT


@dataclass(frozen=True)
class Held:
    """Two neighbours of the published order, and what became of it.

    ``verified`` is false where one of the two values is unverified: then no statement rests on it.
    """

    step: Step
    verdict: Verdict
    verified: bool


@dataclass(frozen=True)
class Order:
    """The methods of one column between the same two data sets."""

    source: str
    target: str
    column: Column
    measured: tuple[Step, ...]
    published: tuple[Held, ...]


def orders(lines: Iterable[Line]) -> tuple[Order, ...]:
    """The orders of all columns in which two methods or more were measured."""
    columns: dict[tuple[str, str, Column], list[Line]] = {}
    for line in lines:
        if line.measured is not None:
            row = line.place.row
            columns.setdefault((row.source, row.target, line.place.column), []).append(line)
    return tuple(
        Order(source, target, column, _steps(_by_measured(group)), _held(group))
        for (source, target, column), group in columns.items()
        if len(group) > 1
    )


def _by_measured(group: Iterable[Line]) -> list[Line]:
    return sorted(group, key=lambda line: -_of(line).mean)


def _held(group: Iterable[Line]) -> tuple[Held, ...]:
    known = [(line.place.published, line) for line in group if line.place.published is not None]
    ranked = sorted(known, key=lambda pair: -pair[0].value)
    found = []
    for (first, higher), (second, lower) in pairwise(ranked):
        step = Step(higher, lower, _p(higher, lower))
        equal = first.value == second.value
        found.append(Held(step, _verdict(step, equal), first.verified and second.verified))
    return tuple(found)


def _verdict(step: Step, equal: bool) -> Verdict:
    higher, lower = _of(step.higher), _of(step.lower)
    if higher.doubtful or lower.doubtful:
        return Verdict.FLAGGED
    if equal:
        return Verdict.EQUAL
    if step.tied:
        return Verdict.TIED
    return Verdict.HELD if higher.mean > lower.mean else Verdict.REVERSED


def _steps(ranked: Sequence[Line]) -> tuple[Step, ...]:
    return tuple(Step(higher, lower, _p(higher, lower)) for higher, lower in pairwise(ranked))


def _p(a: Line, b: Line) -> float | None:
    return p_value(_of(a).results, _of(b).results)


def _of(line: Line) -> Measured:
    assert line.measured is not None
    return line.measured
