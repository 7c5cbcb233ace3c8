"""A checkpoint's weights under the names of the encoders here."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from robench.checkpoints.naming import place, trunk
from robench.grid.spec import SpecError
from robench.tensors.batchnorm import CLEAN
from robench.tensors.resnet import BasicBlock, Bottleneck, ResidualEncoder

_KNOWN = {
    ("basic", (1, 1, 1)): "resnet8",
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
}
_COUNTER = "num_batches_tracked"  # older checkpoints lack it, and eval mode does not use it


class Translation(NamedTuple):
    """Weights that fit the encoder, and the checkpoint's names that were not used."""

    weights: dict[str, Tensor]
    unused: tuple[str, ...]


def translate(state: Mapping[str, Tensor], encoder: nn.Module, branch: str = CLEAN) -> Translation:
    """Rename a checkpoint's residual network to ``encoder``'s, with one of its BatchNorm branches.

    Raises SpecError for weights that are missing or have another shape, and for a deeper
    checkpoint; the message names the encoder that would fit.
    """
    theirs = {}  # the checkpoint's names by pytorch-cifar's
    for original, inner in trunk(state).names.items():
        name, own = place(inner)
        if own in (None, branch):
            theirs[name] = original
    wanted, target = names(encoder), encoder.state_dict()
    weights, wrong = {}, []
    for ours, name in wanted.items():
        if name not in theirs:
            wrong += [] if name.endswith(_COUNTER) else [f"{name} is missing"]
            continue
        tensor = state[theirs[name]]
        if tensor.shape != target[ours].shape:
            given, expected = list(tensor.shape), list(target[ours].shape)
            wrong.append(f"{name} is {given}, expected {expected}")
            continue
        weights[ours] = tensor.to(target[ours].dtype).contiguous()
    deeper = _blocks(theirs) - _blocks(wanted.values())
    wrong += [f"{block} has no place" for block in sorted(deeper)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        shapes = {name: tuple(state[original].shape) for name, original in theirs.items()}
        raise SpecError(
            f"the checkpoint does not fit the encoder: {'; '.join(wrong[:3])}{more}; "
            f"{_advice(shapes)}"
        )
    used = {theirs[name] for name in wanted.values() if name in theirs}
    return Translation(weights, tuple(name for name in state if name not in used))


def load(encoder: nn.Module, translation: Translation) -> None:
    """Put the weights into ``encoder``, in place."""
    missing, _ = encoder.load_state_dict(translation.weights, strict=False)
    assert all(name.endswith(_COUNTER) for name in missing), missing


def names(encoder: nn.Module) -> dict[str, str]:
    """The names in pytorch-cifar's naming of a residual network's weights.

    An embedding is its last layer, ``linear``, as in CLAE's Plain and UEL
    (Plain/models/resnet_cifar.py:154). Raises SpecError for an encoder of another kind.
    """
    if not isinstance(encoder, ResidualEncoder):
        raise SpecError(
            f"checkpoints cannot be read into {type(encoder).__name__}, only into residual "
            f"networks; use {', '.join(sorted(_KNOWN.values(), key=len))}"
        )
    places = (f"layer{s}.{i}" for s, depth in enumerate(encoder.depths, 1) for i in range(depth))
    parts = {}
    for number, module in enumerate(encoder.network):
        ours = f"network.{number}"
        match module:
            case nn.Conv2d():
                parts[ours] = "conv1"
            case nn.BatchNorm2d():
                parts[ours] = "bn1"
            case nn.Linear():
                parts[ours] = "linear"
            case BasicBlock() | Bottleneck():
                theirs = next(places)
                for i in range(len(module.body)):  # convolution, BatchNorm, ReLU; and again
                    parts[f"{ours}.body.{i}"] = f"{theirs}.{('conv', 'bn', '')[i % 3]}{i // 3 + 1}"
                parts |= {f"{ours}.shortcut.{i}": f"{theirs}.shortcut.{i}" for i in (0, 1)}
    return {
        name: f"{parts[layer]}.{weight}"
        for name in encoder.state_dict()
        for layer, _, weight in [name.rpartition(".")]
    }


def _blocks(found: Iterable[str]) -> set[str]:
    return {match[0] for name in found if (match := re.match(r"layer\d+\.\d+", name))}


def _advice(shapes: Mapping[str, tuple[int, ...]]) -> str:
    width, _, *kernel = shapes.get("conv1.weight", (0, 3, 3, 3))
    if kernel not in ([3, 3], [7, 7]):
        size = "x".join(map(str, kernel))
        return f"its stem is {size}, and those of the encoders here are 3x3 or 7x7"
    blocks = _blocks(shapes)
    stages = sorted({block.partition(".")[0] for block in blocks})
    depths = tuple(sum(block.startswith(f"{stage}.") for block in blocks) for stage in stages)
    kind = "bottleneck" if "layer1.0.conv3.weight" in shapes else "basic"
    if (kind, depths) in _KNOWN:
        return f"--encoder '{_KNOWN[kind, depths]}(width={width})' would fit"
    listed = ", ".join(map(str, depths))
    return f"no encoder here has its {kind} blocks, {listed} of them at width {width}"
