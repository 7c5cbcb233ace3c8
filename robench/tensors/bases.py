"""The contrastive learners that adversaries are added to: how each sees, embeds and compares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from robench.tensors.augment import Augment
from robench.tensors.contrast import nt_xent
from robench.tensors.info_nce import info_nce
from robench.tensors.projector import linear_projector, projector
from robench.tensors.spreading import instance_spreading
from robench.tensors.views import instance_views, rocl_views, simclr_views


@dataclass(frozen=True)
class Base:
    """One contrastive learner.

    ``contrast`` is the loss of two views' embeddings [N, D] at a temperature, ``views`` makes them
    from a colour strength and the smallest crop, ``projector`` the head from the sizes of features,
    hidden layer and embedding. ``joint`` says whether two views are one BatchNorm batch or each its
    own.
    """

    contrast: Callable[[Tensor, Tensor, float], Tensor]
    views: Callable[[float, float], Augment]
    projector: Callable[[int, int, int], nn.Module]
    joint: bool


def _pair(first: Tensor, second: Tensor, temperature: float, *, anchor_only: bool) -> Tensor:
    return nt_xent([first, second], temperature, stop_gradient=anchor_only)


_NT_XENT = partial(_pair, anchor_only=False)

BASES: Mapping[str, Base] = {
    # Chen et al. 2020, appendix A: both views in one batch.
    "simclr": Base(_NT_XENT, simclr_views, projector, joint=True),
    # CLAE's SimCLR branch without its adversary: one view after the other (SimCLR/main.py:71-80).
    "clae": Base(_NT_XENT, simclr_views, projector, joint=False),
    # RoCL's code without its adversary (src/rocl_train.py:147-157, loss.py:55).
    "rocl": Base(partial(_pair, anchor_only=True), rocl_views, projector, joint=True),
    # CLAE's Plain and UEL branches (Plain/main.py:69-83, UEL/main.py:219-226).
    "plain": Base(info_nce, instance_views, linear_projector, joint=False),
    "uel": Base(instance_spreading, instance_views, linear_projector, joint=False),
}


def base_of(name: str, among: tuple[str, ...]) -> Base:
    """The base of that name.

    Raises ValueError where it is not ``among`` those that are meant.
    """
    if name not in among:
        raise ValueError(f"base={name} is unknown; choose {', '.join(among)}")
    return BASES[name]
