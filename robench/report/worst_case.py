"""The worst case over several attacks, from what each did to each image."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from robench.contracts import Attack, Outcome
from robench.grid.records import Result
from robench.grid.spec import Spec, SpecError, nearest
from robench.report.results import natural
from robench.trust.flags import BUDGET, GAP
from robench.trust.review import as_strong
from robench.trust.statistics import Tried, on_same_images


def worst_case(several: Sequence[Tried]) -> Outcome:
    """The outcome of trying several attacks on a model: right only where it is right after all.

    Images are sorted by index. What is kept of an image is what the first attack that fools the
    model did, or the first one where none does.

    Raises ValueError without attacks, or where they are not about the same images.
    """
    if not several:
        raise ValueError("a worst case needs outcomes; give one or more")
    index, right = on_same_images(several)
    if any(len(one.outcome.index) != len(index) for one in several):
        raise ValueError("the attacks are not about the same images; attack the same images")
    chosen = (~right).argmax(axis=0), np.arange(len(index))
    orders = [np.argsort(one.outcome.index) for one in several]
    arrays = {
        name: np.stack([vars(one.outcome)[name][o] for one, o in zip(several, orders, strict=True)])
        for name in vars(several[0].outcome)
    }
    return Outcome(**{name: stacked[chosen] for name, stacked in arrays.items()})


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
    try:
        outcome = worst_case(results)
    except ValueError as error:
        raise SpecError(f"{' + '.join(one.cell.key for one in results)}: {error}") from None
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
        stronger = [theirs for attack, theirs in tried if own and attack and as_strong(attack, own)]
        for flag in flags:
            if flag not in (BUDGET, GAP) or all(flag in theirs for theirs in stronger):
                found[flag] = None
    return tuple(found)
