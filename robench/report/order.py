"""The one order of everything a report shows, so that the same results give the same files."""

import re
from fractions import Fraction

from robench.grid.records import Cell
from robench.grid.spec import SpecError, parse_number

CLEAN = "clean"
_NORMS = ["", "linf", "l2", "l1"]


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key that puts ``rocl(steps=5)`` before ``rocl(steps=10)``."""
    return tuple(
        (int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", text)
    )


def size(eps: str) -> Fraction:
    """The number that ``eps`` is, 0 for what is none, such as ""."""
    try:
        return parse_number(eps)
    except SpecError:
        return Fraction(0)


def norm_order(norm: str) -> tuple[int, str]:
    """A sort key: none, linf, l2, l1, and any other by name."""
    return _NORMS.index(norm) if norm in _NORMS else len(_NORMS), norm


def attack_order(attack: str, norm: str, eps: str) -> tuple[object, ...]:
    """A sort key: clean first, then by name, norm (linf, l2, l1) and eps."""
    return (attack != CLEAN, natural(attack), norm_order(norm), size(eps))


def cell_order(cell: Cell) -> tuple[object, ...]:
    """A sort key: method, source, target, encoder, probe, attack, norm, eps, seed, n, key."""
    labels = cell.labels
    names = (labels.method, labels.source, labels.target, labels.encoder, labels.probe)
    attack = attack_order(labels.attack, cell.norm, cell.eps)
    return (*(natural(name) for name in names), *attack, cell.seed, cell.n, cell.key)
