"""Reproductions whose answers are planted instead of computed."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from stored import planted

from robench.catalog.catalog import Catalog
from robench.engine.bench import Bench
from robench.engine.estimate import Cost
from robench.engine.progress import silent
from robench.grid.questions import Evaluation
from robench.grid.records import Result
from robench.report.published import Published, values
from robench.reproduction import run, scales, tables
from robench.reproduction.run import Reproduction
from robench.reproduction.scales import Scale
from robench.store.store import Store

CATALOG = Catalog()


def answer(evaluation: Evaluation, correct: Iterable[bool], flags: tuple[str, ...] = ()) -> Result:
    """An evaluation's result that is right about an image where ``correct`` says so."""
    seed = evaluation.probing.pretraining.seed
    made = planted(correct, seed=seed, flags=flags)
    return Result(dataclasses.replace(made.cell, evaluation=evaluation), made.outcome)


def half_right(evaluation: Evaluation) -> Result:
    """An answer for evaluations whose outcome does not matter."""
    return answer(evaluation, np.arange(40) % 2 == 0)


class Planted(Bench):
    """A bench that makes its answers up."""

    plant: Callable[[Evaluation], Result | None] = staticmethod(half_right)

    def answers(self, evaluations: Sequence[Evaluation], limit: int | None) -> Iterator[Result]:
        """What was planted, where anything was."""
        found = (self.plant(evaluation) for evaluation in evaluations)
        return (result for result in found if result is not None)


def reproduction(
    folder: Path,
    name: str,
    scale: Scale | str,
    published: Sequence[Published] | None = None,
    plant: Callable[[Evaluation], Result | None] = half_right,
    seeds: Sequence[int] = (0,),
) -> Reproduction:
    """A table at a scale, with planted answers and a cost that nobody timed."""
    scale = scales.find(scale) if isinstance(scale, str) else scale
    known = values() if published is None else published
    asked = run.task(name, tables.find(name), scale, seeds, CATALOG, known)
    store = Store(folder / "out", folder / "zoo", print)
    bench = Planted(CATALOG, store, folder, torch.device("cpu"), silent, print)
    bench.plant = plant
    with mock.patch.object(run, "remembered", return_value=Cost("", 36_000, 36_000)):
        return run.reproduce(asked, bench)


def revalued(value: Published, number: str, confidence: str | None = None) -> Published:
    """The value with another number, and another confidence where one is given."""
    told = {"value": Decimal(number), "confidence": confidence or value.confidence}
    return dataclasses.replace(value, **told)  # type: ignore[arg-type]
