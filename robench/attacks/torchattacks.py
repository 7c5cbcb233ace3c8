"""Attacks of the package torchattacks (Kim 2020, arXiv 2010.01950), each within a ball."""

import inspect
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from robench.contracts import Attack, Attacked, Run, Target
from robench.grid.spec import nearest
from robench.tensors.balls import Ball, ball
from robench.tensors.modes import draw_seed, evaluating, frozen, preserved_random_state

_OURS = {"model", "eps", "max_epsilon", "norm", "seed", "n_classes", "verbose"}
_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}  # the package's names
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
        if {"eps", "max_epsilon"} & set(takes) and "norm" not in takes and self.norm != only:
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
        ours = {"eps": self.eps, "max_epsilon": self.eps, "norm": _NORMS[self.norm]}
        ours |= {"seed": seed, "n_classes": target.classes}
        given = {name: value for name, value in ours.items() if name in takes}
        given |= {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if one.name in takes and one.name not in given
        }
        model = target.model
        with evaluating(model), frozen(model), preserved_random_state(), torch.enable_grad():
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002 (the generator that the package draws from)
            random.seed(seed)
            official = getattr(torchattacks, self.attack)(model, **given)
            official.set_device(images.device)
            made = official(images.contiguous(), labels).detach()
        if not {"eps", "max_epsilon"} & set(takes):
            near = self.ball.size(made.double(), images.double()) <= self.eps
            made = torch.where(near[:, None, None, None], made, images)
        return Attacked(made)


@cache
def _takes(attack: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of an attack of the package. Raises ValueError where there is none."""
    import torchattacks
    from torchattacks.attack import Attack as Official

    found = [one for one in vars(torchattacks).values() if inspect.isclass(one)]
    if attack in _REFUSED:
        raise ValueError(f"torchattacks' {attack} {_REFUSED[attack]}")
    usable = [one for one in found if one.__name__ not in _REFUSED]
    known = {one.__name__: one for one in usable if issubclass(one, Official)}
    if attack not in known:
        raise ValueError(f"torchattacks has no '{attack}'; {nearest(attack, sorted(known))}")
    return inspect.signature(known[attack]).parameters


@cache
def _with_arguments(attack: str) -> type[Torchattacks]:
    own = []
    for parameter in _takes(attack).values():
        kind, default = type(parameter.default), parameter.default
        if parameter.name not in _OURS and kind in (bool, int, float, str):
            annotation = int | float if kind is int else kind
            own.append((parameter.name, annotation, field(default=default)))
    made = make_dataclass(f"Torchattacks{attack}", own, bases=(Torchattacks,), frozen=True)
    assert issubclass(made, Torchattacks)
    return made
