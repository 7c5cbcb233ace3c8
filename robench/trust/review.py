"""From evidence to flags: some show in a single result, and some only beside other results.

A weaker attack must not beat a stronger one; where it does, the stronger one did not find what is
there. Attacks say themselves which others they are as strong as.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache
from typing import Protocol

import numpy as np

from robench.contracts import Attack, Outcome
from robench.grid.records import Result
from robench.grid.spec import Spec
from robench.trust import flags
from robench.trust.bounds import accuracy_bound
from robench.trust.flags import GAP, MASKED, NOTES, RECOMPUTED, SUBSET, UNDERFITTED
from robench.trust.statistics import exact_mcnemar, on_same_images, wilson


class Evidence(Protocol):
    """One attack on a model: what happened to each image, notes, and counts of images."""

    @property
    def outcome(self) -> Outcome: ...
    @property
    def data(self) -> str: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def counts(self) -> Mapping[str, int]: ...


def review(results: Iterable[Result], attack_of: Callable[[Spec], Attack | None]) -> list[Result]:
    """The results with their flags, each in the light of all.

    ``attack_of`` makes the attack that a spec describes, or None where it is not available: such a
    result is not compared with others.
    """
    found, build = list(results), cache(attack_of)
    models: dict[Hashable, list[int]] = defaultdict(list)
    for place, result in enumerate(found):
        models[result.cell.evaluation.probing].append(place)
    for places in models.values():
        attacks = [build(found[place].cell.evaluation.attack) for place in places]
        drawn = flags_together(attacks, [found[place] for place in places])
        for place, own in zip(places, drawn, strict=True):
            found[place] = dataclasses.replace(found[place], flags=own)
    return found


def flags_together(
    attacks: Sequence[Attack | None], found: Sequence[Evidence]
) -> list[tuple[str, ...]]:
    """The flags, by name, of attacks on one model."""
    known = [(a, one) for a, one in zip(attacks, found, strict=True) if a is not None]
    # An attack that fails at one eps is flagged at all.
    failed = {
        attack.series
        for attack, one in known
        if misses_grey(one) or any(beaten(attack, one, *other) for other in known)
    }
    drawn = []
    for attack, one in zip(attacks, found, strict=True):
        own = set(own_flags(one))
        if attack is not None and not _means_to_fool(attack):
            own.discard(flags.REPAIRED)
        if attack is not None and attack.series in failed:
            own.add(MASKED)
        if attack is not None and any(far_below(attack, one, *other) for other in known):
            own.add(GAP)
        drawn.append(tuple(sorted(own)))
    return drawn


def _means_to_fool(attack: Attack) -> bool:
    """Whether an attack looks for wrong predictions of the model itself, as noise does not."""
    return "labels" in attack.needs and "surrogate" not in attack.needs


def own_flags(one: Evidence) -> frozenset[str]:
    """The flags that an attack's own evidence asks for."""
    counts, n = one.counts, len(one.outcome.label)
    right = int((one.outcome.clean_prediction == one.outcome.label).sum())
    found = {NOTES[note] for note in one.notes if note in NOTES}
    if counts.get(flags.RECOMPUTED_OTHERWISE, 0) > 0:
        found.add(RECOMPUTED)
    if (one.outcome.prediction == one.outcome.label).sum() > right:
        found.add(flags.REPAIRED)
    if n < flags.whole_set(counts):
        found.add(SUBSET)
    if accuracy_bound(one.outcome) is not None:
        found.add(flags.BOUND)
    if underfitted(counts):
        found.add(UNDERFITTED)
    signs = (
        over(counts.get(flags.FLAT, 0), right, flags.NO_GRADIENT),
        over(counts.get(flags.ZERO_GRADIENTS, 0), right, flags.NO_GRADIENT),
        over(counts.get(flags.UNRESOLVED, 0), n, flags.NO_GRADIENT),
        over(counts.get(flags.CLOSE, 0), n, flags.MOST),
        over(counts.get(flags.MISSED_MARGIN, 0), n, flags.LED_ASTRAY),
        over(counts.get(flags.STILL, 0), right, flags.MISLED),
        over(counts.get(flags.JAGGED, 0), right, flags.MISLED),
        over(counts.get(flags.MISSED_EASY, 0), n, flags.MISSED),
        over(counts.get(flags.SQUARE, 0), n, flags.SQUARE_ALONE),
        misses_grey(one),
    )
    return frozenset(found | ({MASKED} if any(signs) else set()))


def underfitted(counts: Mapping[str, int]) -> bool:
    """Whether the probe is below the best linear layer on the features of the held-out part."""
    best, own = (counts.get(name, 0) for name in (flags.BEST_ALONE, flags.PROBE_ALONE))
    apart = best - own > flags.BELOW_BEST * counts.get(flags.HELD_OUT, 0)
    return apart and exact_mcnemar(np.repeat([1, -1], [best, own])) < flags.SIGNIFICANT


def over(count: int, n: int, line: float) -> bool:
    """Whether the share is over the line, beyond the sampling error of these images."""
    return 0 < count <= n and wilson(count, n).low > line


def misses_grey(one: Evidence) -> bool:
    """Whether too many images stand though the grey image in their ball fools the model."""
    return over(one.counts.get(flags.MISSED_GREY, 0), len(one.outcome.label), flags.MISSED)


def beaten(attack: Attack, one: Evidence, weaker: Attack, other: Evidence) -> bool:
    """Whether an attack that cannot be stronger than ``attack`` leaves fewer images standing."""
    return as_strong(attack, weaker) and leaves_fewer(other, one)


def as_strong(attack: Attack, other: Attack) -> bool:
    """Whether an attack says that it is at least as strong; not if it cannot answer."""
    try:
        return attack.at_least_as_strong_as(other)
    except Exception:  # a plug-in's, which knows nothing of the other one's arguments
        return False


def leaves_fewer(one: Evidence, other: Evidence) -> bool:
    """Whether an attack leaves fewer images standing than another does, beyond sampling error."""
    _, right = on_same_images([other, one])
    differences = right[0].astype(np.int64) - right[1]
    return bool(differences.sum() > 0) and exact_mcnemar(differences) < flags.SIGNIFICANT


def far_below(attack: Attack, one: Evidence, stronger: Attack, other: Evidence) -> bool:
    """Whether a stronger attack leaves far fewer standing in the same ball.

    Only attacks that use gradients are expected to come close to it.
    """
    near = "gradients" in attack.needs and attack.ball == stronger.ball
    if not (near and as_strong(stronger, attack)):
        return False
    images, right = on_same_images([one, other])
    return over(int(right[0].sum()) - int(right[1].sum()), len(images), flags.FAR_BELOW)
