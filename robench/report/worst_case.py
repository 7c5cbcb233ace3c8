"""The worst case over several attacks, from what each did to each image."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from robench.contracts import Outcome
from robench.grid.records import Cell, Result
from robench.grid.spec import SpecError, nearest, parse
from robench.report.order import natural
from robench.trust.flags import BUDGET, GAP
from robench.trust.review import AUTOATTACK

SEARCHED = {GAP, BUDGET}
"""Flags that say of an attack that it may have missed what a stronger one finds."""


def worst_case(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of trying several attacks on a model: right only where it is right after all.

    Images are matched by ``index``, in the first outcome's order. An image's prediction, confidence
    and size are those of the first attack that fools the model, or of the first one where none
    does.

    Raises ValueError without outcomes, or where they are not about the same images.
    """
    if not outcomes:
        raise ValueError("there is no worst case of no attacks; give one outcome or more")
    worst = outcomes[0]
    for place, other in enumerate(outcomes[1:], start=2):
        aligned = _aligned(other, worst, place)
        robust = worst.prediction == worst.label
        fooled_now = robust & (aligned.prediction != worst.label)
        worst = dataclasses.replace(
            worst,
            prediction=np.where(fooled_now, aligned.prediction, worst.prediction),
            confidence=np.where(fooled_now, aligned.confidence, worst.confidence),
            size=np.where(fooled_now, aligned.size, worst.size),
            fooled_by=np.where(fooled_now, aligned.fooled_by, worst.fooled_by),
        )
    return worst


def worst_cases(results: Iterable[Result], attacks: Sequence[str]) -> list[Result]:
    """The worst case over the attacks for each model, norm and eps that all of them were tried at.

    ``attacks`` are labels, as in a table. The results are as if of one attack more, with the flags
    of all of them, but for those that a stronger one among them settles. They are made for tables
    and never stored.

    Raises SpecError for an attack of which nothing is stored, where there is no such model, or
    where the images were not the same.
    """
    tried: dict[tuple[object, ...], dict[str, Result]] = defaultdict(dict)
    known = set()
    for result in results:
        cell = result.cell
        known.add(cell.labels.attack)
        place = (cell.evaluation.probing, cell.evaluation.limit, cell.norm, cell.eps)
        tried[place][cell.labels.attack] = result
    for attack in attacks:
        if attack not in known:
            hint = nearest(attack, sorted(known, key=natural))
            raise SpecError(f"no stored cells of attack '{attack}'; {hint}")
    name = f"worst of {', '.join(attacks)}"
    worst = [
        _joined(name, [by_attack[attack] for attack in attacks])
        for by_attack in tried.values()
        if by_attack.keys() >= set(attacks)
    ]
    if not worst:
        raise SpecError(
            f"no model was attacked by all of {', '.join(attacks)} at the same norm and eps"
        )
    return worst


def _joined(name: str, results: Sequence[Result]) -> Result:
    cells = [result.cell for result in results]
    keys = " + ".join(cell.key for cell in cells)
    try:
        outcome = worst_case([result.outcome for result in results])
    except ValueError as error:
        raise SpecError(f"{keys}: {error}") from None
    cell = dataclasses.replace(
        cells[0],
        key=keys,
        labels=dataclasses.replace(cells[0].labels, attack=name),
        correct=int((outcome.prediction == outcome.label).sum()),
        flags=_flags(cells),
        notes=(),
        seconds=sum(cell.seconds for cell in cells),
        outcome_sha256="",
    )
    return Result(cell, outcome)


def _flags(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The flags of all, where AutoAttack is not among them.

    Where it is, `SEARCHED` are its own alone: the worst case leaves no more than AutoAttack does,
    however poorly another attack searched.
    """
    full = [cell for cell in cells if parse(cell.evaluation.attack).name == AUTOATTACK]
    searched = {flag for cell in full or cells for flag in cell.flags}
    found = dict.fromkeys(flag for cell in cells for flag in cell.flags)
    return tuple(flag for flag in found if flag not in SEARCHED or flag in searched)


def _aligned(outcome: Outcome, first: Outcome, place: int) -> Outcome:
    """The outcome with its images in the order of the first."""
    to_sorted, back = np.argsort(outcome.index), np.argsort(np.argsort(first.index))
    order = to_sorted[back] if len(to_sorted) == len(back) else to_sorted
    same = np.array_equal(outcome.index[order], first.index)
    if not same or not np.array_equal(outcome.label[order], first.label):
        raise ValueError(
            f"outcome {place} is not about the images of the first; attack the same images"
        )
    arrays = {field.name: getattr(outcome, field.name) for field in dataclasses.fields(Outcome)}
    return Outcome(**{field: array[order] for field, array in arrays.items()})
