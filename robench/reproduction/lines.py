"""A published value beside the measured one."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from scipy.stats import t

from robench.grid.questions import Evaluation
from robench.grid.records import Result
from robench.reproduction.grid import Place
from robench.trust.flags import SUBSET
from robench.trust.statistics import Interval, mean_sd, wilson


class Lies(Enum):
    """Where a published value lies."""

    INSIDE = "in the interval"
    ABOVE = "above the interval"
    BELOW = "below the interval"


@dataclass(frozen=True)
class Measured:
    """What was measured at a place, in percent; ``results`` are by seed.

    ``interval`` is Wilson's 95% interval of one seed. Of several it is the interval in which one
    more training would lie with a chance of 95%, by Student's t: the published value is of one
    training too.
    """

    mean: float
    sd: float | None
    interval: Interval
    n: int
    flags: tuple[str, ...]
    results: Mapping[int, Result]

    @property
    def doubtful(self) -> bool:
        """Whether a flag forbids statements; that of fewer test images is in the interval."""
        return not set(self.flags) <= {SUBSET}


@dataclass(frozen=True)
class Line:
    """A place with what was measured there; None where nothing was run, or it failed."""

    place: Place
    measured: Measured | None

    @property
    def difference(self) -> float | None:
        """Measured less published, in points."""
        if self.measured is None or self.place.published is None:
            return None
        return self.measured.mean - float(self.place.published.value)

    @property
    def lies(self) -> Lies | None:
        """Where the published value lies; None where there is none, or no statement can be made.

        None can where the published value is unverified or the measured one is flagged.
        """
        if self.measured is None or self.place.published is None:
            return None
        if not self.place.published.verified or self.measured.doubtful:
            return None
        value, interval = float(self.place.published.value), self.measured.interval
        if value > interval.high:
            return Lies.ABOVE
        return Lies.BELOW if value < interval.low else Lies.INSIDE


def lines(places: Iterable[Place], answers: Mapping[Evaluation, Result]) -> tuple[Line, ...]:
    """Each place with what the answers say of it."""
    return tuple(Line(place, _measured(place, answers)) for place in places)


def _measured(place: Place, answers: Mapping[Evaluation, Result]) -> Measured | None:
    results = [answers[evaluation] for evaluation in place.evaluations if evaluation in answers]
    if not results:
        return None
    cells = [result.cell for result in results]
    mean, sd = mean_sd([100 * cell.correct / cell.n for cell in cells])
    return Measured(
        mean=mean,
        sd=sd,
        interval=_of_one(results[0]) if sd is None else _of_several(mean, sd, len(results)),
        n=cells[0].n,
        flags=tuple(dict.fromkeys(flag for cell in cells for flag in cell.flags)),
        results={cell.seed: result for cell, result in zip(cells, results, strict=True)},
    )


def _of_one(result: Result) -> Interval:
    interval = wilson(result.cell.correct, result.cell.n)
    return Interval(100 * interval.low, 100 * interval.high)


def _of_several(mean: float, sd: float, seeds: int) -> Interval:
    half = float(t.ppf(0.975, seeds - 1)) * sd * math.sqrt(1 + 1 / seeds)
    return Interval(max(0.0, mean - half), min(100.0, mean + half))
