"""A checkpoint's own linear classifier."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from robench.checkpoints.naming import Trunk
from robench.grid.spec import SpecError

HEADS = ("classifier.fc", "classifier", "head.fc", "head", "fc", "linear")
"""Names of linear heads, the first come first. AdvCL saves its trained one beside the model, which
has an untrained ``linear`` too (finetuning_advCL_SLF.py:323-328, models/resnet_cifar.py:84);
solo-learn's online one is ``classifier`` (solo/methods/base.py:210); torchvision's, ACL's and
DynACL's is ``fc`` (ACL models/resnet.py:158), pytorch-cifar's ``linear`` (models/resnet.py:85).
"""


class Head(NamedTuple):
    """A linear layer, and its place and names in the checkpoint."""

    layer: nn.Linear
    place: str
    names: tuple[str, ...]


def own_head(
    state: Mapping[str, Tensor], trunk: Trunk, width: int, classes: int | None = None
) -> Head:
    """The checkpoint's linear head on ``width`` features, for that many ``classes`` (None: any).

    Raises SpecError for a checkpoint without one.
    """
    parts = trunk.prefix.split(".")
    above = [".".join([*parts[:depth], ""]) for depth in range(1, len(parts))]
    other = ""
    for place in [f"{at}{name}" for name in HEADS for at in ("", *above)]:
        weight, bias = state.get(f"{place}.weight"), state.get(f"{place}.bias")
        if weight is None or weight.shape[1:] != (width,):
            continue
        if bias is not None and bias.shape != weight.shape[:1]:
            continue
        if classes not in (None, len(weight)):
            other = other or f"{place} has {len(weight)} outputs and the data {classes} classes"
            continue
        layer = nn.Linear(width, len(weight), device="meta").to_empty(device="cpu")
        layer.weight.data.copy_(weight)
        layer.bias.data.zero_()
        if bias is not None:
            layer.bias.data.copy_(bias)
        names = (f"{place}.{name}" for name in ("weight", "bias") if f"{place}.{name}" in state)
        return Head(layer.requires_grad_(False).eval(), place, tuple(names))
    raise SpecError(
        other or f"the checkpoint has no linear head of {width} features ({', '.join(HEADS)})"
    )
