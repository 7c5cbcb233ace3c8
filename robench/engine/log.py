"""The log of a run: a line a cell, counted and aligned."""

from collections.abc import Callable, Sequence

from robench.grid.questions import Evaluation
from robench.grid.records import Labels, Result, radius
from robench.report.names import proper
from robench.report.table import attack_names


class Log:
    """Writes the line of an answered evaluation: its place in the plan, its names, its accuracy.

    The encoder, probe and seed are in it where the plan has several.
    """

    def __init__(
        self, evaluations: Sequence[Evaluation], labels: Callable[[Evaluation], Labels]
    ) -> None:
        own = [labels(one) for one in evaluations]
        attacks = [(one.attack, *radius(e.attack)) for one, e in zip(own, evaluations, strict=True)]
        seeds = [getattr(one.probing.source, "seed", 0) for one in evaluations]
        columns = [
            [one.method for one in own],
            [f"{one.source} → {one.target}" for one in own],
            *_several([one.encoder for one in own]),
            *_several([one.probe for one in own]),
            *_several([f"seed {seed}" for seed in seeds]),
            attack_names(attacks),
        ]
        rows = zip(*map(_aligned, columns), strict=True)
        self._names = dict(zip(evaluations, map("  ".join, rows), strict=True))
        self._places = {evaluation: place for place, evaluation in enumerate(evaluations, 1)}

    def __call__(self, evaluation: Evaluation, result: Result) -> str:
        """The line of an evaluation with its result."""
        of = f"/{len(self._places)}"
        place = f"{self._places[evaluation]:{len(of) - 1}}{of}"
        share = f"{100 * result.correct / result.n:5.1f}%"
        return f"{place}  {self._names[evaluation]}  {share}  {result.cell.seconds:6.1f} s"


def _several(column: list[str]) -> list[list[str]]:
    return [column] if len(set(column)) > 1 else []


def _aligned(column: list[str]) -> list[str]:
    names = [proper(name) for name in column]
    width = max(map(len, names), default=0)
    return [name.ljust(width) for name in names]
