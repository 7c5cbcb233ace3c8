"""A checkpoint's weights under the names of the encoders here."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robench.checkpoints.layouts import Layout
from robench.checkpoints.naming import place, trunk
from robench.contracts import Encoder
from robench.grid.spec import SpecError
from robench.tensors.batchnorm import CLEAN
from robench.tensors.resnet import CIFAR, IMAGENET, BasicBlock, Bottleneck

_KNOWN = {
    ("basic", (1, 1, 1)): "resnet8",
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
}
STEMS: Mapping[tuple[int, ...], str] = {(3, 3): CIFAR, (7, 7): IMAGENET}
"""Which stem of the encoders here has a first convolution of this size.

3x3 is that of CIFAR, which keeps the resolution; 7x7 torchvision's, whose stride and max-pooling
quarter it (torchvision/models/resnet.py, class ResNet).
"""

_COUNTER = "num_batches_tracked"  # older checkpoints lack it, and eval mode does not use it


class Translation(NamedTuple):
    """Weights that fit the encoder, and the checkpoint's names that were not used."""

    weights: dict[str, Tensor]
    unused: tuple[str, ...]


def translate(state: Mapping[str, Tensor], encoder: Encoder, branch: str = CLEAN) -> Translation:
    """Rename a checkpoint's residual network to ``encoder``'s, with one of its BatchNorm branches.

    Raises SpecError where something is missing, has another shape, or where the checkpoint is
    deeper; the message says what encoder would fit.
    """
    found = trunk(state).names
    candidates = {}
    for original, inner in found.items():
        name, own = place(inner)
        if own in (None, branch):
            candidates[name] = original
    wanted = names(encoder)
    target = encoder.state_dict()
    weights, wrong = {}, []
    for ours, theirs in wanted.items():
        if theirs not in candidates:
            if not theirs.endswith(_COUNTER):
                wrong.append(f"{theirs} is missing")
            continue
        tensor = state[candidates[theirs]]
        if tensor.shape != target[ours].shape:
            shapes = [list(tensor.shape), list(target[ours].shape)]
            wrong.append(f"{theirs} is {shapes[0]}, expected {shapes[1]}")
            continue
        weights[ours] = tensor.to(target[ours].dtype).contiguous()
    blocks = _blocks(candidates) - _blocks(wanted.values())
    wrong += [f"{block} has no place" for block in sorted(blocks)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        shapes_of = {name: tuple(state[original].shape) for name, original in candidates.items()}
        raise SpecError(
            f"the checkpoint does not fit the encoder: {'; '.join(wrong[:3])}{more}; "
            f"{_advice(shapes_of)}"
        )
    used = {candidates[theirs] for theirs in wanted.values() if theirs in candidates}
    return Translation(weights, tuple(name for name in state if name not in used))


def names(encoder: Encoder) -> dict[str, str]:
    """What the weights of one of our residual networks are called in pytorch-cifar's naming.

    An embedding is its last layer, ``linear``, as in CLAE's Plain and UEL
    (Plain/models/resnet_cifar.py:154).

    Raises SpecError for an encoder of another kind.
    """
    network = getattr(encoder, "network", None)
    if not isinstance(network, nn.Sequential) or not hasattr(encoder, "normalise"):
        raise SpecError(
            f"{type(encoder).__name__} is no residual network that a checkpoint can be read into; "
            f"use {', '.join(sorted(_KNOWN.values(), key=len))}"
        )
    parts = {"network.0": "conv1", "network.1": "bn1"}
    stage, block, width = 0, 0, 0
    for number, module in enumerate(network):
        if isinstance(module, nn.Linear):
            parts[f"network.{number}"] = "linear"
        if not isinstance(module, BasicBlock | Bottleneck):
            continue
        normed = module.body[1]
        assert isinstance(normed, nn.BatchNorm2d)
        own = normed.num_features
        stage, block, width = (stage, block + 1, width) if own == width else (stage + 1, 0, own)
        ours, theirs = f"network.{number}", f"layer{stage}.{block}"
        for index, layer in enumerate(module.body):
            if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
                kind = "conv" if isinstance(layer, nn.Conv2d) else "bn"
                parts[f"{ours}.body.{index}"] = f"{theirs}.{kind}{index // 3 + 1}"
        parts |= {f"{ours}.shortcut.{i}": f"{theirs}.shortcut.{i}" for i in (0, 1)}
    return {
        name: f"{parts[layer]}.{weight}"
        for name in encoder.state_dict()
        for layer, _, weight in [name.rpartition(".")]
    }


def load(encoder: Encoder, translation: Translation, layout: Layout) -> None:
    """Put the weights into ``encoder``, in place, and make its stem that of the layout."""
    missing, _ = encoder.load_state_dict(translation.weights, strict=False)
    assert all(name.endswith(_COUNTER) for name in missing), missing
    stem = encoder.get_submodule("network.0")
    assert isinstance(stem, nn.Conv2d)
    if stem.kernel_size == (3, 3):
        stem.padding = (layout.padding, layout.padding)
    if not layout.rectified:
        encoder.get_submodule("network").add_module("2", nn.Identity())


def normalise(encoder: Encoder, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Give ``encoder`` another first layer, in place: one number, or one for each channel."""
    encoder.add_module("normalise", ChannelNormalise(mean, std))


class ChannelNormalise(nn.Module):
    """Images in [0, 1] to ``(images - mean) / std``, channel by channel; it has no weights.

    Raises SpecError for other than one or three numbers, or a ``std`` that is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        for name, numbers in (("mean", mean), ("std", std)):
            if len(numbers) not in (1, 3):
                raise SpecError(f"--{name} has {len(numbers)} numbers, expected 1 or 3")
            # Not saved: encoders of the zoo keep the names of their weights.
            channels = torch.tensor(numbers)[:, None, None]
            self.register_buffer(name, channels, persistent=False)
        if min(std) <= 0:
            raise SpecError(f"--std {', '.join(f'{s:g}' for s in std)} should be positive")

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def _blocks(found: Iterable[str]) -> set[str]:
    return {match[0] for name in found if (match := re.match(r"layer\d+\.\d+", name))}


def _advice(shapes: Mapping[str, tuple[int, ...]]) -> str:
    stem = shapes.get("conv1.weight", (0, 3, 3, 3))
    if stem[2:] not in STEMS:
        sizes = " or ".join(f"{rows}x{columns}" for rows, columns in STEMS)
        return f"its stem is {stem[2]}x{stem[3]}, and those of the encoders here are {sizes}"
    blocks = _blocks(shapes)
    stages = sorted({block.partition(".")[0] for block in blocks})
    depths = tuple(sum(block.startswith(f"{stage}.") for block in blocks) for stage in stages)
    kind = "bottleneck" if "layer1.0.conv3.weight" in shapes else "basic"
    known = _KNOWN.get((kind, depths))
    if known is not None:
        return f"--encoder '{known}(width={stem[0]})' would fit"
    return (
        f"it has {kind} blocks, {', '.join(map(str, depths))} of them at width {stem[0]}, and no "
        "encoder here has"
    )
