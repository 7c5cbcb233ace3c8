"""From evidence to flags: what a number shows alone, and what shows only beside others.

A weaker attack must not beat a stronger one, and no radius a larger one; where that happens, the
stronger attack did not find what is there.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from robench.contracts import Outcome
from robench.grid.records import Result
from robench.grid.spec import Spec, parse_number
from robench.trust import flags
from robench.trust.flags import GAP, MASKED, MEANINGS, NOTES, RECOMPUTED, SUBSET
from robench.trust.statistics import exact_mcnemar, on_same_images, wilson

AUTOATTACK, PGD = "autoattack", "pgd"


@dataclass(frozen=True, eq=False)
class Trial:
    """One attack on one model: its evidence, and what happened to each image.

    ``model`` is the same for trials of the same model on the same images. ``attack`` is a spec with
    all arguments, ``norm`` and ``eps`` are "" where it has none, ``limit`` is how many test images
    were asked for (None: all).
    """

    model: Hashable
    attack: Spec
    norm: str
    eps: str
    outcome: Outcome
    notes: Sequence[str]
    counts: Mapping[str, int]
    limit: int | None


def review(results: Iterable[Result]) -> list[Result]:
    """The results with their flags drawn anew, each in the light of all.

    A flag of another name than `MEANINGS` has is kept.
    """
    found = list(results)
    drawn = drawn_flags([_trial(result) for result in found])
    return [_flagged(result, new) for result, new in zip(found, drawn, strict=True)]


def drawn_flags(trials: Sequence[Trial]) -> list[tuple[str, ...]]:
    """The flags of each trial, by name."""
    by_model: dict[Hashable, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_model[trial.model].append(trial)
    # What betrays an attack at one radius makes its other radii doubtful too.
    betrayed = {
        (trial.model, _series(trial))
        for together in by_model.values()
        for trial in together
        if misses_grey(trial) or any(beaten(trial, other) for other in together)
    }
    drawn = []
    for trial in trials:
        found = own_flags(trial)
        if (trial.model, _series(trial)) in betrayed:
            found |= {MASKED}
        if any(far_below(trial, other) for other in by_model[trial.model]):
            found |= {GAP}
        drawn.append(tuple(sorted(found)))
    return drawn


def own_flags(trial: Trial) -> frozenset[str]:
    """The flags that a trial's own evidence asks for."""
    counts, n = trial.counts, len(trial.outcome.label)
    right = int((trial.outcome.clean_prediction == trial.outcome.label).sum())
    found = {NOTES[note] for note in trial.notes if note in NOTES}
    if counts.get(flags.RECOMPUTED_OTHERWISE, 0) > 0:
        found.add(RECOMPUTED)
    if n < _available(trial):
        found.add(SUBSET)
    signs = (
        over(counts.get(flags.FLAT, 0), right, flags.NO_GRADIENT),
        over(counts.get(flags.ZERO_GRADIENTS, 0), right, flags.NO_GRADIENT),
        over(counts.get(flags.UNRESOLVED, 0), n, flags.NO_GRADIENT),
        over(counts.get(flags.SQUARE, 0), n, flags.SQUARE_ALONE),
        misses_grey(trial),
    )
    if any(signs):
        found.add(MASKED)
    return frozenset(found)


def over(count: int, n: int, line: float) -> bool:
    """Whether the share is over the line, beyond the sampling error of these images."""
    return 0 < count <= n and wilson(count, n).low > line


def _available(trial: Trial) -> int:
    """How many test images there are, or a bound that tells a subset from the whole."""
    n = len(trial.outcome.label)
    # An older cell does not know the set's size; where it met its limit, there may be more.
    return trial.counts.get(flags.TEST_IMAGES, n + (trial.limit is not None and n >= trial.limit))


def misses_grey(trial: Trial) -> bool:
    return over(trial.counts.get(flags.MISSED_GREY, 0), len(trial.outcome.label), flags.MISSED)


def _series(trial: Trial) -> Spec:
    """The attack with its norm, at whatever radius."""
    spec = trial.attack
    return Spec(spec.name, tuple(item for item in spec.arguments if item[0] != "eps"))


def beaten(trial: Trial, other: Trial) -> bool:
    """Whether an attack that cannot be stronger than this one leaves fewer images standing."""
    if not trial.eps or trial.norm != other.norm:
        return False
    ours, theirs = trial.attack, other.attack
    smaller = _series(trial) == _series(other) and _size(other.eps) < _size(trial.eps)
    same_ball = trial.eps == other.eps
    shorter = ours.name == theirs.name == PGD and _steps(theirs) < _steps(ours) and _usual(ours)
    less = ours.name == AUTOATTACK and theirs.name != AUTOATTACK
    if not (smaller or (same_ball and (shorter or less))):
        return False
    return leaves_fewer(other.outcome, trial.outcome)


def leaves_fewer(one: Outcome, other: Outcome) -> bool:
    """Whether an attack leaves fewer images standing than another does, beyond sampling error."""
    _, differences = on_same_images(other, one)
    return bool(differences.sum() > 0) and exact_mcnemar(differences) < flags.SIGNIFICANT


def far_below(trial: Trial, other: Trial) -> bool:
    """Whether ``other``, AutoAttack, leaves far less standing than this PGD in the same ball."""
    names = trial.attack.name, other.attack.name
    if names != (PGD, AUTOATTACK) or (trial.norm, trial.eps) != (other.norm, other.eps):
        return False
    images, differences = on_same_images(trial.outcome, other.outcome)
    return over(int(differences.sum()), len(images), flags.FAR_BELOW)


def _size(eps: str) -> Fraction:
    return parse_number(eps) if eps else Fraction(0)


def _steps(pgd: Spec) -> int:
    steps = pgd.get("steps")
    return steps if isinstance(steps, int) else 0


def _usual(pgd: Spec) -> bool:
    """Whether the steps are as long as they should be; with tiny ones, more do not mean further."""
    return pgd.get("step_size") is None


def _trial(result: Result) -> Trial:
    cell, question = result.cell, result.cell.evaluation
    return Trial(
        model=question.probing,
        attack=question.attack,
        norm=cell.norm,
        eps=cell.eps,
        outcome=result.outcome,
        notes=cell.notes,
        counts=cell.counts,
        limit=cell.limit,
    )


def _flagged(result: Result, drawn: Sequence[str]) -> Result:
    foreign = [flag for flag in result.cell.flags if flag not in MEANINGS]
    names = tuple(sorted({*drawn, *foreign}))
    if names == result.cell.flags:
        return result
    return dataclasses.replace(result, cell=dataclasses.replace(result.cell, flags=names))
