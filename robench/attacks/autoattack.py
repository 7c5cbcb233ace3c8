"""AutoAttack (Croce & Hein 2020, arXiv 2003.01690): its four attacks in a cascade."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Generator, Tensor

from robench.attacks._official import MEMBERS, OfficialAttack
from robench.contracts import Attack, Attacked, Run, Target


@dataclass(frozen=True)
class AutoAttack(OfficialAttack):
    """AutoAttack's standard version: APGD-CE, targeted APGD-DLR, targeted FAB and Square, in full.

    ``eps`` is in pixels of [0, 1]; ``norm`` is "linf", "l2" or "l1". With K classes the targeted
    attacks try at most K - 1 targets; under 4 classes the targeted DLR loss is undefined, so
    APGD-DLR is left out. An interrupted call continues after the last attack that was finished.

    The robust flags are the package's, for less work: the attacks search through a fast copy of the
    model, and APGD returns its first success where the package returns its last.

    ``sample=500`` runs it on a sample of what cheaper attacks leave, for an interval at a fifth of
    the cost; ``targeted=true`` has APGD-T among these.

    Notes, where the package warns or this departs from the standard version:

    - ``randomized``: the same images got different logits;
    - ``probabilities``: the outputs look like probabilities instead of logits;
    - ``dynamic``: the model computes gradients in its forward pass;
    - ``zero-gradients``: the gradient of the DLR loss vanished on some image;
    - ``square-beats-whitebox``: Square fooled over 0.2% of this call's images, which the gradient
      attacks had left standing;
    - ``no-dlr``: APGD-DLR was left out, for want of 4 classes;
    - any other warning of the package in its own words.

    Counts, in images of this call: ``square``, which Square alone fooled; ``zero-gradients``, the
    most at whose start a run of APGD-DLR found no gradient (none is counted under 4 classes).
    """

    members: ClassVar[tuple[str, ...]] = tuple(MEMBERS)

    @classmethod
    def chosen(cls, arguments: Mapping[str, Any]) -> type["AutoAttack"]:
        """The class that tries a sample only, where ``arguments`` ask for one."""
        from robench.attacks._sampled import SampledAutoAttack

        return SampledAutoAttack if "sample" in arguments else AutoAttack

    def at_least_as_strong_as(self, other: Attack) -> bool:
        """Any attack in the same ball; or AutoAttack in one of at most its size."""
        return self.ball == other.ball or super().at_least_as_strong_as(other)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        made = super().__call__(target, images, labels, generator, run)
        assert made.fooled_by is not None
        square = int((made.fooled_by == self.members.index("square")).sum())
        beaten = square > 0.002 * len(images)  # alpha of check_square_sr, the package's checks.py
        notes = (*made.notes, "square-beats-whitebox") if beaten else made.notes
        return made._replace(notes=notes, counts={"square": square, **made.counts})
