"""The worst case over several attacks, from what each did to each image."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from robench.contracts import Outcome
from robench.grid.records import Result
from robench.grid.spec import SpecError, nearest
from robench.report.results import grouped, natural, same_data
from robench.trust.flags import BUDGET, GAP

SEARCHED = {GAP, BUDGET}
"""Flags of an attack that may have missed what a stronger one finds."""


def worst_case(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of trying several attacks on a model: right only where it is right after all.

    Images are matched by ``index``, and sorted by it. What is kept of an image is what the first
    attack that fools the model did, or the first one where none does.

    Raises ValueError without outcomes, or where they are not about the same images.
    """
    if not outcomes:
        raise ValueError("a worst case needs outcomes; give one or more")
    aligned = [_by_index(outcome) for outcome in outcomes]
    first = aligned[0]
    for place, other in enumerate(aligned, start=1):
        same = np.array_equal(other.index, first.index), np.array_equal(other.label, first.label)
        if not all(same):
            raise ValueError(
                f"outcome {place} is not about the images of the first; attack the same images"
            )
    fooled = np.stack([outcome.prediction != outcome.label for outcome in aligned])
    chosen = fooled.argmax(axis=0), np.arange(len(first.index))
    arrays = {
        name: np.stack([getattr(outcome, name) for outcome in aligned])[chosen]
        for name in vars(first)
    }
    return Outcome(**arrays)


def _by_index(outcome: Outcome) -> Outcome:
    order = np.argsort(outcome.index)
    return Outcome(**{name: array[order] for name, array in vars(outcome).items()})


def worst_cases(results: Iterable[Result], attacks: Sequence[str]) -> list[Result]:
    """The worst case over the attacks for each model, norm and eps that all of them were tried at.

    ``attacks`` are labels, as in a table. The results are as if of one attack more, with the flags
    of all of them, except for those that a stronger one among them settles. They are made for
    tables and never stored.

    Raises SpecError for an attack of which nothing is stored, where there is no such model, or
    where the images were not the same.
    """
    results = list(results)
    known = {result.labels.attack for result in results}
    for attack in attacks:
        if attack not in known:
            hint = nearest(attack, sorted(known, key=natural))
            raise SpecError(f"no stored cells of attack '{attack}'; {hint}")
    balls = grouped(
        results,
        lambda one: (one.cell.evaluation.probing, one.n, one.norm, one.eps),
        lambda one: one.labels.attack,
    )
    worst = [
        _joined([by_attack[attack] for attack in attacks])
        for by_attack in balls.values()
        if by_attack.keys() >= set(attacks)
    ]
    if not worst:
        raise SpecError(
            f"no model was attacked by all of {', '.join(attacks)} at the same norm and eps"
        )
    return worst


def _joined(results: Sequence[Result]) -> Result:
    key = " + ".join(result.cell.key for result in results)
    try:
        if not same_data(results):
            raise ValueError("the images have changed between the attacks; attack the same images")
        outcome = worst_case([result.outcome for result in results])
    except ValueError as error:
        raise SpecError(f"{key}: {error}") from None
    name = f"worst of {', '.join(result.labels.attack for result in results)}"
    seconds = sum(result.cell.seconds for result in results)
    cell = dataclasses.replace(results[0].cell, notes=(), seconds=seconds, outcome_sha256="")
    labels = dataclasses.replace(results[0].labels, attack=name)
    return Result(cell, outcome, labels, _flags(results))


def _flags(results: Sequence[Result]) -> tuple[str, ...]:
    """The flags of all, where AutoAttack is not among them.

    Where it is, `SEARCHED` are its own alone: the worst case leaves no more than AutoAttack does,
    however poorly another attack searched.
    """
    full = [result for result in results if result.cell.evaluation.attack.name == "autoattack"]
    searched = {flag for result in full or results for flag in result.flags}
    found = dict.fromkeys(flag for result in results for flag in result.flags)
    return tuple(flag for flag in found if flag not in SEARCHED or flag in searched)
