"""Reproductions whose answers are planted instead of computed."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import torch
from stored import planted

from robench.catalog.catalog import Catalog
from robench.engine.bench import Bench
from robench.engine.progress import silent
from robench.grid.questions import Evaluation
from robench.grid.records import Result
from robench.report.published import Published, values
from robench.reproduction import Reproduction, planned, reproduce
from robench.store.store import Store

CATALOG = Catalog()
Plant = Callable[[Evaluation], Result | None]


def answer(evaluation: Evaluation, correct: Iterable[bool], notes: tuple[str, ...] = ()) -> Result:
    """An evaluation's result that is right about an image where ``correct`` says so."""
    training = evaluation.probing.pretraining
    made = planted(correct, str(training.objective), seed=training.seed, notes=notes)
    return Result(dataclasses.replace(made.cell, evaluation=evaluation), made.outcome)


def half_right(evaluation: Evaluation) -> Result:
    """An answer for evaluations whose outcome does not matter."""
    return answer(evaluation, np.arange(40) % 2 == 0)


class Planted(Bench):
    """A bench that makes its answers up."""

    plant: Plant = staticmethod(half_right)

    def answers(self, evaluations: Sequence[Evaluation], limit: int | None) -> Iterator[Result]:
        """What was planted, where anything was."""
        found = (self.plant(evaluation) for evaluation in evaluations)
        return (result for result in found if result is not None)


def reproduction(
    folder: Path,
    name: str,
    scale: str,
    published: Sequence[Published] | None = None,
    plant: Plant = half_right,
    seeds: Sequence[int] = (0,),
) -> Reproduction:
    """A table at a scale, with planted answers."""
    made = planned(name, scale, seeds, CATALOG, values() if published is None else published)
    store = Store(folder / "out", folder / "zoo", print)
    bench = Planted(CATALOG, store, folder, torch.device("cpu"), silent, print)
    bench.plant = plant
    return reproduce(made, bench)


def revalued(value: Published, number: str, confidence: str | None = None) -> Published:
    """The value with another number, and another confidence where one is given."""
    changes = {"value": Decimal(number), "confidence": confidence or value.confidence}
    return dataclasses.replace(value, **changes)  # type: ignore[arg-type]
