"""A checkpoint's weights under the names of the encoders here."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from robench.checkpoints.naming import Trunk, place
from robench.grid.spec import Spec, SpecError
from robench.tensors.batchnorm import CLEAN
from robench.tensors.resnet import CIFAR, IMAGENET, BasicBlock, Bottleneck, ResidualEncoder

_KNOWN = {
    ("basic", (1, 1, 1)): "resnet8",
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
}
_COUNTER = "num_batches_tracked"  # older checkpoints lack it, and eval mode does not use it


class Translation(NamedTuple):
    """Weights that fit the encoder, and the checkpoint's names that were not used.

    ``folded`` are the biases of convolutions, which are in the BatchNorm after them.
    """

    weights: dict[str, Tensor]
    unused: tuple[str, ...]
    folded: tuple[str, ...] = ()


def translate(
    state: Mapping[str, Tensor], found: Trunk, encoder: nn.Module, branch: str = CLEAN
) -> Translation:
    """Rename a checkpoint's residual network to ``encoder``'s, with one of its BatchNorm branches.

    Raises SpecError for weights that are missing, have another shape, or have no place; the message
    names the encoder that would fit.
    """
    theirs = _theirs(found, branch)
    wanted, target = names(encoder), encoder.state_dict()
    weights, wrong, folded = {}, [], []
    for ours, name in wanted.items():
        if name not in theirs:
            wrong += [] if name.endswith(_COUNTER) else [f"{name} is missing"]
            continue
        tensor = state[theirs[name]]
        if tensor.shape != target[ours].shape:
            given, expected = list(tensor.shape), list(target[ours].shape)
            wrong.append(f"{theirs[name]} is {given}, expected {expected}")
            continue
        weights[ours] = tensor.to(target[ours].dtype).contiguous()
        bias = theirs.get(_bias_before(name))
        if bias is not None and state[bias].shape == tensor.shape:
            weights[ours] = weights[ours] - state[bias]
            folded.append(bias)
    used = {theirs[name] for name in wanted.values() if name in theirs}.union(folded)
    wrong += [
        f"{name} has no place"
        for name in theirs.values()
        if found.is_layer(name) and name not in used
    ]
    if wrong:
        more = [f"and {len(wrong) - 3} more"] if len(wrong) > 3 else []
        try:
            shapes = {name: tuple(target[ours].shape) for ours, name in wanted.items()}
            advice = _advice(architecture(state, found), shapes)
        except SpecError as error:
            advice = str(error)
        why = "; ".join(filter(None, [*wrong[:3], *more, advice]))
        raise SpecError(f"the checkpoint does not fit the encoder: {why}")
    unused = tuple(name for name in state if name not in used)
    return Translation(weights, unused, tuple(folded))


def architecture(state: Mapping[str, Tensor], found: Trunk) -> Spec:
    """The encoder that the shapes of a checkpoint fit, with its width, and the usual stem.

    Raises SpecError where there is none.
    """
    return _fitting(
        {place(inner)[0]: tuple(state[name].shape) for name, inner in found.names.items()}
    )


def _fitting(shapes: Mapping[str, tuple[int, ...]]) -> Spec:
    stem = shapes.get("conv1.weight", ())
    if stem[2:] not in ((3, 3), (7, 7)):
        size = "x".join(map(str, stem[2:])) or "not a convolution named conv1"
        raise SpecError(f"its stem is {size}; those of the encoders here are 3x3 or 7x7")
    blocks = {match[0] for name in shapes if (match := re.match(r"layer\d+\.\d+", name))}
    depths = tuple(Counter(sorted(block.partition(".")[0] for block in blocks)).values())
    kind = "bottleneck" if "layer1.0.conv3.weight" in shapes else "basic"
    if (kind, depths) not in _KNOWN:
        listed = ", ".join(map(str, depths))
        raise SpecError(f"no encoder here has {kind} blocks, {listed} of them, at width {stem[0]}")
    usual = IMAGENET if stem[2:] == (7, 7) else CIFAR
    return Spec(_KNOWN[kind, depths], (("width", stem[0]), ("stem", usual)))


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


def _theirs(found: Trunk, branch: str) -> dict[str, str]:
    """The checkpoint's names by pytorch-cifar's, with one of its BatchNorm branches."""
    theirs: dict[str, str] = {}
    for original, inner in found.names.items():
        name, own = place(inner)
        if own in (None, branch) and theirs.setdefault(name, original) != original:
            raise SpecError(f"the checkpoint has {name} twice: {theirs[name]} and {original}")
    return theirs


def _bias_before(name: str) -> str:
    """The name of the bias that is added before a BatchNorm whose mean is ``name``, or "".

    Evaluated, BatchNorm subtracts its mean from it; in training, the mean that is measured has it.
    """
    layer, _, weight = name.rpartition(".")
    if weight != "running_mean":
        return ""
    return f"{layer.replace('bn', 'conv').replace('shortcut.1', 'shortcut.0')}.bias"


def _advice(fits: Spec, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The encoder to type instead of one of these ``shapes``; "" where it is the same."""
    try:
        built = _fitting(shapes)
    except SpecError:  # a plug-in's
        built = Spec("")
    if built.without("stem") != fits.without("stem"):
        return f"--encoder '{fits.without('stem')}' would fit"
    return f"--stem {fits.get('stem')} would fit" if built != fits else ""
