"""AutoAttack on a sample of the images that a cheaper attack leaves standing."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robench.attacks._official import OfficialAttack
from robench.attacks.apgd_ce import ApgdCe
from robench.attacks.apgd_t import ApgdT
from robench.attacks.autoattack import AutoAttack
from robench.attacks.pma import PMA
from robench.attacks.square import Square
from robench.contracts import NO_CHECKPOINTS, Attack, Attacked, Run, Target

GUARDED = 200  # of the sample, the first, that Square's first queries are tried on
GUARD_QUERIES = 500

_CODES = {ApgdCe: 0, ApgdT: 5, PMA: 4}  # of the cheap attacks in ``fooled_by``
UNTRIED = -2  # in ``fooled_by``: left standing by the cheap attacks, and not in the sample


class _Rest(OfficialAttack):
    """What AutoAttack does after APGD-CE."""

    members: ClassVar[tuple[str, ...]] = ("apgd-t", "fab-t", "square")


class _RestAfterTargets(OfficialAttack):
    """What AutoAttack does after APGD-T."""

    members: ClassVar[tuple[str, ...]] = ("fab-t", "square")


@dataclass(frozen=True)
class SampledAutoAttack(AutoAttack):
    """APGD-CE and PMA on all images, and all of AutoAttack on ``sample`` of those that they leave.

    Test images come in a random order, so the first that are left are a random sample. With
    ``targeted``, APGD-T is among the cheap attacks. Square's first 500 queries are tried on 200 of
    the sample: a hit, which gradients have missed, means masked gradients, and the full attack on
    every image.

    ``fooled_by`` counts APGD-CE, APGD-T, FAB-T and Square from 0 as `AutoAttack` does, PMA as 4, a
    cheap APGD-T as 5, and is -2 for images left untried. Counts, in images: ``sampled``, and
    ``guard-hits``.
    """

    sample: int = field(kw_only=True)
    targeted: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample < 1:
            raise ValueError(f"sample={self.sample} is too few; give 1 or more")

    def at_least_as_strong_as(self, other: Attack) -> bool:
        """Any attack in the same ball that is no part of the whole AutoAttack."""
        whole = isinstance(other, OfficialAttack) and not isinstance(other, ApgdCe)
        return not whole and super().at_least_as_strong_as(other)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        run, before = replace(run, checkpoints=NO_CHECKPOINTS), run.counts
        attacked, by = images.contiguous().clone(), torch.full_like(labels, -1)
        notes, counts = list[str](), dict[str, int]()
        with torch.no_grad():
            standing = target.model(attacked).argmax(1) == labels

        def try_on(rows: Tensor, attack: Attack, *codes: int) -> int:
            """The number of images that an attack fools; they are kept."""
            if len(rows) == 0:
                return 0
            made = attack(target, attacked[rows], labels[rows], generator, run)
            notes.extend(made.notes)
            counts.update(made.counts)
            with torch.no_grad():
                fooled = target.model(made.images).argmax(1) != labels[rows]
            own = torch.zeros_like(rows) if made.fooled_by is None else made.fooled_by
            hit = rows[fooled]
            attacked[hit], standing[hit] = made.images[fooled], False
            by[hit] = torch.tensor(codes, device=by.device)[own[fooled]]
            return len(hit)

        in_ball = self.eps, self.norm
        for cheap in (ApgdCe, PMA, *([ApgdT] if self.targeted else [])):
            try_on(standing.nonzero().squeeze(1), cheap(*in_ball), _CODES[cheap])
        left, spent = standing.nonzero().squeeze(1), before.get("sampled", 0)
        guarded = left[: max(0, min(GUARDED, self.sample) - spent)]
        hits = try_on(guarded, Square(*in_ball, GUARD_QUERIES), 3)
        masked = hits + before.get("guard-hits", 0) > 0
        sampled = left if masked else left[: max(0, self.sample - spent)]
        rows = sampled[standing[sampled]]
        rest = _RestAfterTargets if self.targeted else _Rest
        try_on(rows, rest(*in_ball), *range(4 - len(rest.members), 4))
        by[left[len(sampled) :]] = UNTRIED
        counts |= {"sampled": len(sampled), "guard-hits": hits, "square": int((by == 3).sum())}
        known = [note for note in dict.fromkeys(notes) if note != "few-queries"]
        return Attacked(attacked, tuple(known), counts, by)
