"""Finished results with planted outcomes, under the names that a run would give them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robench.contracts import Outcome
from robench.engine.bench import radius
from robench.grid.questions import Evaluation, Pretraining, Probing, key
from robench.grid.recipe import Recipe
from robench.grid.records import Cell, Examples, Labels, Provenance, Result
from robench.grid.spec import Spec, parse
from robench.store.store import Store

PGD = "pgd(eps=8/255, norm=linf, steps=20)"
SQUARE = "square(eps=8/255, norm=linf)"
SHAPES = Spec("shapes10")


def planted(
    correct: Iterable[bool],
    method: str = "plain",
    attack: str = PGD,
    *,
    seed: int = 0,
    epochs: int = 1,
    index: npt.NDArray[np.int64] | None = None,
    flags: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    counts: dict[str, int] | None = None,
    limit: int | None = None,
    data: str = "",
    finished: str = "2026-01-01T00:00:00+00:00",
) -> Result:
    """A method's answer that is right about an image where ``correct`` says so."""
    right = np.array(list(correct), dtype=bool)
    index = np.arange(len(right), dtype=np.int64) if index is None else index
    label = index % 10
    probing = Probing(
        Pretraining(parse(method), Spec("resnet8"), SHAPES, Recipe(epochs, 64), seed),
        Spec("linear"),
        SHAPES,
    )
    spec = parse(attack)
    evaluation = Evaluation(probing, spec, 32)
    norm, eps = radius(spec)
    cell = Cell(
        key=key(evaluation),
        labels=Labels(method, "shapes10", "shapes10", "resnet8", "linear", spec.name),
        norm=norm,
        eps=eps,
        seed=seed,
        n=len(right),
        correct=int(right.sum()),
        flags=flags,
        notes=notes,
        seconds=1.0,
        evaluation=evaluation,
        encoder_sha256="",
        probe_sha256="",
        data_sha256=data,
        outcome_sha256="",
        provenance=Provenance("0", "", {}, "cpu", 1, "float32", finished),
        counts=counts or {},
        limit=limit,
    )
    size = np.full(len(right), 8 / 255, np.float32)
    after, sure = np.where(right, label, (label + 1) % 10), np.full(len(right), 0.5, np.float32)
    outcome = Outcome(index, label, label, after, size, sure, sure, np.full(len(right), -1))
    return Result(cell, outcome)


def store_in(folder: Path, results: Iterable[Result]) -> Store:
    """A store in ``folder/out`` and ``folder/zoo`` that keeps the results, open for writing."""
    store = Store(folder / "out", folder / "zoo", print)
    store.prepare()
    none = np.zeros((0, 3, 2, 2), np.float32)
    for result in results:
        cell, label = result.cell, np.zeros(0, np.int64)
        shown = Examples(cell.labels, cell.norm, cell.eps, (), label, none, none, label, label)
        store.save_result(cell, result.outcome, shown)
    return store
