"""The worst case over several attacks, from what each did to each image."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from robench.contracts import Attack, Outcome
from robench.grid.records import Result
from robench.grid.spec import Spec, SpecError, nearest
from robench.report.results import natural, same_data
from robench.trust.flags import BUDGET, GAP


def worst_case(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of trying several attacks on a model: right only where it is right after all.

    Images are matched by ``index``, and sorted by it. What is kept of an image is what the first
    attack that fools the model did, or the first one where none does.

    Raises ValueError without outcomes, or where they are not about the same images.
    """
    if not outcomes:
        raise ValueError("a worst case needs outcomes; give one or more")
    aligned = []
    for outcome in outcomes:
        order = np.argsort(outcome.index)
        aligned.append({name: array[order] for name, array in vars(outcome).items()})
    first = aligned[0]
    for place, other in enumerate(aligned, start=1):
        if not all(np.array_equal(other[name], first[name]) for name in ("index", "label")):
            raise ValueError(
                f"outcome {place} is not about the images of the first; attack the same images"
            )
    fooled = np.stack([outcome["prediction"] != outcome["label"] for outcome in aligned])
    chosen = fooled.argmax(axis=0), np.arange(len(first["index"]))
    return Outcome(**{name: np.stack([one[name] for one in aligned])[chosen] for name in first})


def worst_cases(
    results: Sequence[Result],
    attacks: Sequence[str],
    attack_of: Callable[[Spec], Attack | None],
) -> list[Result]:
    """The worst case over the attacks for each model, norm and eps that all of them were tried at.

    ``attacks`` are labels, as in a table, and ``attack_of`` makes the attack that a spec describes,
    or None. The results are as if of one attack more, with the flags of all of them, except for
    those that a stronger one among them settles. They are made for tables and never stored.

    Raises SpecError for an attack of which nothing is stored, where there is no such model, or
    where the images were not the same.
    """
    known = {result.labels.attack for result in results}
    for attack in attacks:
        if attack not in known:
            hint = nearest(attack, sorted(known, key=natural))
            raise SpecError(f"no stored cells of attack '{attack}'; {hint}")
    balls: dict[object, dict[str, Result]] = defaultdict(dict)
    for one in results:
        ball = one.cell.evaluation.probing, one.n, one.norm, one.eps
        balls[ball][one.labels.attack] = one
    worst = [
        _joined([by_attack[attack] for attack in attacks], attack_of)
        for by_attack in balls.values()
        if by_attack.keys() >= set(attacks)
    ]
    if not worst:
        raise SpecError(
            f"no model was attacked by all of {', '.join(attacks)} at the same norm and eps"
        )
    return worst


def _joined(results: Sequence[Result], attack_of: Callable[[Spec], Attack | None]) -> Result:
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
    return Result(cell, outcome, labels, _flags(results, attack_of))


def _flags(
    results: Sequence[Result], attack_of: Callable[[Spec], Attack | None]
) -> tuple[str, ...]:
    """The flags of all; a poor search is settled by another as strong that searched well."""
    tried = [(attack_of(one.cell.evaluation.attack), one.flags) for one in results]
    found: dict[str, None] = {}
    for own, flags in tried:
        stronger = [
            theirs
            for attack, theirs in tried
            if own and attack and attack.at_least_as_strong_as(own)
        ]
        for flag in flags:
            if flag not in (BUDGET, GAP) or all(flag in theirs for theirs in stronger):
                found[flag] = None
    return tuple(found)
