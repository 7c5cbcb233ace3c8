"""Targeted APGD on the DLR loss, the second attack of AutoAttack (arXiv 2003.01690, section 4)."""

from dataclasses import dataclass
from typing import ClassVar

from robench.attacks._official import OfficialAttack


@dataclass(frozen=True)
class ApgdT(OfficialAttack):
    """APGD-T as in AutoAttack's standard version: 100 steps for each of 9 targets (L1: 5).

    ``eps`` is in pixels of [0, 1]; ``norm`` is "linf", "l2" or "l1". The loss needs 4 classes: with
    fewer all images come back unchanged, with the note ``no-dlr``.
    """

    members: ClassVar[tuple[str, ...]] = ("apgd-t",)
