"""Targeted FAB (Croce & Hein 2020, arXiv 1907.02044), the third attack of AutoAttack."""

from dataclasses import dataclass
from typing import ClassVar

from robench.attacks._official import OfficialAttack


@dataclass(frozen=True)
class FabT(OfficialAttack):
    """FAB-T as in AutoAttack's standard version: 100 steps for each of 9 targets.

    ``eps`` is in pixels of [0, 1]; ``norm`` is "linf", "l2" or "l1".
    """

    members: ClassVar[tuple[str, ...]] = ("fab-t",)
