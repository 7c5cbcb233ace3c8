"""The contrastive learners that adversaries are added to: their views, projectors and losses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from robench.tensors.augment import Augment
from robench.tensors.contrast import info_nce, instance_spreading, nt_xent


def simclr_views(colour: float, crop: float) -> Augment:
    """Crop, flip, colour distortion of strength ``colour``, grayscale (CLAE's simclr.py:11-26).

    ``crop`` is the smallest share of the area that is shown. Raises ValueError for values out of
    range, as the other views do.
    """
    # SimCLR, appendix A: strength s is a jitter of (0.8 s, 0.8 s, 0.8 s, 0.2 s), applied to 80%.
    return Augment((crop, 1.0), jitter=(0.8 * colour, 0.8 * colour, 0.8 * colour, 0.2 * colour))


def rocl_views(colour: float, crop: float) -> Augment:
    """The same in RoCL's order (src/data_loader.py:8-23)."""
    return replace(simclr_views(colour, crop), order=("jitter", "grayscale", "flip", "crop"))


def instance_views(colour: float, crop: float) -> Augment:
    """The views of CLAE's Plain and UEL branches (Plain/main.py:128-133).

    Every image is jittered, and all four strengths are ``colour``.
    """
    order = ("crop", "jitter", "grayscale", "flip")
    jitter = (colour, colour, colour, colour)
    return Augment((crop, 1.0), jitter=jitter, jitter_probability=1.0, order=order)


def projector(width: int, hidden: int, output: int) -> nn.Module:
    """Linear, ReLU, linear, from ``width`` features to ``output``; ``hidden`` 0 means ``width``.

    Raises ValueError for sizes out of range.
    """
    if hidden < 0 or output < 1:
        raise ValueError(f"hidden={hidden} must not be negative and output={output} be positive")
    middle = hidden or width
    return nn.Sequential(nn.Linear(width, middle), nn.ReLU(), nn.Linear(middle, output))


def normed_projector(*widths: int, bias: bool = False) -> nn.Module:
    """Linear layers of these widths, from the input on, with BatchNorm and ReLU between each two.

    Only the last may have a ``bias``, since BatchNorm takes it away. Raises ValueError for a width
    that is not positive.
    """
    if min(widths) < 1:
        raise ValueError(f"widths {', '.join(map(str, widths))}: each must be positive")
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1], bias=bias))


def linear_projector(width: int, hidden: int, output: int) -> nn.Module:
    """One linear layer, or with an ``output`` of 0 none: the encoder's own end is the embedding.

    CLAE's Plain and UEL branches (models/resnet_cifar.py:154). Raises ValueError for a ``hidden``
    layer, and a negative ``output``.
    """
    if hidden != 0 or output < 0:
        raise ValueError(
            f"hidden={hidden} must be 0, since this projector is linear, "
            f"and output={output} positive, or 0 for no projector"
        )
    return nn.Linear(width, output) if output else nn.Identity()


def dual_projector(width: int) -> nn.Module:
    """Three linear layers, each with a BatchNorm, and ReLU between them; all as wide as features.

    ACL's (models/resnet_multi_bn.py:181-216), but for a bias that BatchNorm takes away.
    """
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class Learner:
    """One contrastive learner with its authors' numbers.

    ``contrast`` compares two views' embeddings [N, D] at the temperature, ``views`` takes
    ``colour`` and ``crop``, ``projector`` the encoder's width, ``hidden`` and ``output``.
    ``joint`` is whether two views are one BatchNorm batch or each its own.
    """

    contrast: Callable[[Tensor, Tensor, float], Tensor]
    views: Callable[[float, float], Augment]
    projector: Callable[[int, int, int], nn.Module]
    joint: bool
    temperature: float = 0.5
    hidden: int = 0
    output: int = 128
    colour: float = 0.5
    crop: float = 0.08


def _pair(first: Tensor, second: Tensor, temperature: float, *, anchor_only: bool) -> Tensor:
    return nt_xent([first, second], temperature, stop_gradient=anchor_only)


_NT_XENT = partial(_pair, anchor_only=False)

LEARNERS: Mapping[str, Learner] = {
    # Chen et al. 2020, appendices A and B.9: both views in one batch.
    "simclr": Learner(_NT_XENT, simclr_views, projector, joint=True),
    # RoCL's code without its adversary (src/rocl_train.py:147-157, loss.py:55,
    # models/projector.py:9-10).
    "rocl": Learner(partial(_pair, anchor_only=True), rocl_views, projector, True, hidden=2048),
    # CLAE's SimCLR branch without its adversary: one view after the other (SimCLR/main.py:22 and
    # 71-80, modules/transformations/simclr.py:11).
    "clae": Learner(_NT_XENT, simclr_views, projector, joint=False, output=64, colour=1.0),
    # CLAE's Plain and UEL branches (Plain/main.py:34-37, 69-83 and 128-133, UEL/main.py:35-38,
    # 113-118 and 219-226).
    "plain": Learner(info_nce, instance_views, linear_projector, False, 0.1, colour=0.4, crop=0.2),
    "uel": Learner(
        instance_spreading, instance_views, linear_projector, False, 0.1, colour=0.4, crop=0.2
    ),
}


def learner(
    base: str,
    choices: Mapping[str, Learner],
    temperature: float | None,
    hidden: int | None,
    output: int | None,
    colour: float | None,
    crop: float | None,
) -> Learner:
    """The learner of that name; a number that is not None takes the place of its own.

    Raises ValueError for a name that is not among the ``choices``, and a temperature of 0 or less.
    """
    if base not in choices:
        raise ValueError(f"base={base} is unknown; choose {', '.join(choices)}")
    given: dict[str, Any] = {"temperature": temperature, "hidden": hidden, "output": output}
    given |= {"colour": colour, "crop": crop}
    own = replace(choices[base], **{name: n for name, n in given.items() if n is not None})
    if own.temperature <= 0:
        raise ValueError(f"temperature={own.temperature} must be positive")
    return own


def byol_views(crop: float) -> tuple[Augment, Augment]:
    """BYOL's two views for CIFAR, the second one solarized now and then.

    solo-learn's scripts/pretrain/cifar/augmentations/asymmetric.yaml at 9187ea3, where crops are
    bicubic; here they are bilinear. Like the authors' of BYOL, but without blur.
    """
    order = ("crop", "jitter", "grayscale", "solarize", "flip")
    first = Augment((crop, 1.0), jitter=(0.4, 0.4, 0.2, 0.1), order=order)
    return first, replace(first, solarize=0.2)
