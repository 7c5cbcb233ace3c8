"""Attacks of the package torchattacks (Kim 2020, arXiv 2010.01950), each within a ball."""

import inspect
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from robench.attacks._official import NORMS
from robench.contracts import Attack, Attacked, Run, Target
from robench.grid.spec import nearest
from robench.tensors.balls import Ball, ball
from robench.tensors.modes import draw_seed, evaluating, frozen, preserved_random_state

_SET_HERE = {"model", "eps", "max_epsilon", "norm", "seed", "n_classes", "verbose"}
_RADII = {"eps", "max_epsilon"}
_REFUSED = {
    "AutoAttack": "runs a tenth of AutoAttack's steps; use the attack autoattack",
    "MultiAttack": "combines other attacks; `robench worst-case` does",
    "LGV": "needs training data",
}


@dataclass(frozen=True)
class Torchattacks(Attack):
    """The attack of that name in torchattacks, with its own arguments: attack=CW, c=1, steps=100.

    ``eps`` is in pixels of [0, 1]; ``norm`` is "linf", "l2" or "l1". An attack with a radius of its
    own runs with ``eps``. One without, such as CW, looks for a small perturbation: images that it
    moved further than ``eps`` come back unchanged. Model mode, seed and number of classes are set
    here, and images are not normalised, since the model does that.

    Raises ValueError for an unknown attack, a norm that the attack does not have, or an eps that is
    not positive (linf: or over 1).
    """

    attack: str = "PGD"
    eps: float = 8 / 255
    norm: str = "linf"

    def __post_init__(self) -> None:
        ball(self.norm, self.eps)
        takes = _takes(self.attack)
        only = "l2" if self.attack in ("PGDL2", "PGDRSL2") else "linf"
        if _RADII & set(takes) and "norm" not in takes and self.norm != only:
            raise ValueError(f"{self.attack} moves in {only}; write norm={only}")

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    @classmethod
    def chosen(cls, arguments: Mapping[str, Any]) -> type["Torchattacks"]:
        """The class whose arguments are those of the attack that ``arguments`` name too."""
        return _with_arguments(str(arguments.get("attack", cls.attack)))

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        import torchattacks

        takes, seed = _takes(self.attack), draw_seed(generator) % 2**32
        ours = {"eps": self.eps, "max_epsilon": self.eps, "norm": NORMS[self.norm]}
        ours |= {"seed": seed, "n_classes": target.classes}
        values = {**vars(self), **ours}
        given = {name: values[name] for name in takes if name in values}
        model = target.model
        with evaluating(model), frozen(model), preserved_random_state(), torch.enable_grad():
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002 (the generator that the package draws from)
            random.seed(seed)
            official = getattr(torchattacks, self.attack)(model, **given)
            official.set_device(images.device)
            made = official(images.contiguous(), labels).detach()
        if not _RADII & set(takes):
            near = self.ball.size(made.double(), images.double()) <= self.eps
            made = torch.where(near[:, None, None, None], made, images)
        return Attacked(made)


@cache
def _takes(attack: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of an attack of the package. Raises ValueError where there is none."""
    import torchattacks
    from torchattacks.attack import Attack as Official

    if attack in _REFUSED:
        raise ValueError(f"torchattacks' {attack} {_REFUSED[attack]}")
    kinds = {name: one for name, one in vars(torchattacks).items() if inspect.isclass(one)}
    known = {n: k for n, k in kinds.items() if issubclass(k, Official) and n not in _REFUSED}
    if attack not in known:
        raise ValueError(f"torchattacks has no '{attack}'; {nearest(attack, sorted(known))}")
    return inspect.signature(known[attack]).parameters


@cache
def _with_arguments(attack: str) -> type[Torchattacks]:
    own = []
    for name, parameter in _takes(attack).items():
        kind = type(parameter.default)
        if name not in _SET_HERE and kind in (bool, int, float, str):
            annotation = int | float if kind is int else kind
            own.append((name, annotation, field(default=parameter.default)))
    made = make_dataclass(f"Torchattacks{attack}", own, bases=(Torchattacks,), frozen=True)
    assert issubclass(made, Torchattacks)
    return made
