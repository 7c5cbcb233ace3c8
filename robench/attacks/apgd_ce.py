"""APGD on the cross-entropy, the first attack of AutoAttack (arXiv 2003.01690, section 4)."""

from dataclasses import dataclass
from typing import ClassVar

from robench.attacks._official import OfficialAttack


@dataclass(frozen=True)
class ApgdCe(OfficialAttack):
    """APGD-CE as in AutoAttack's standard version: 100 steps; in L1 five restarts.

    ``eps`` is in pixels of [0, 1]; ``norm`` is "linf", "l2" or "l1".
    """

    members: ClassVar[tuple[str, ...]] = ("apgd-ce",)
