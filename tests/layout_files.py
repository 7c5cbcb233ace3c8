"""Checkpoints with random weights, as each project's code writes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from reference_nets import Net, randomised, weights
from torch import nn

Numbers = tuple[tuple[float, ...], tuple[float, ...]]
IMAGENET: Numbers = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR: Numbers = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
HALF: Numbers = ((0.5,), (0.5,))
NOTHING: Numbers = ((0.0,), (1.0,))

STAGES = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
NORMALIZE = dict(zip(("mean", "std"), map(torch.tensor, IMAGENET), strict=True))


@dataclass(frozen=True)
class Written:
    """What a file holds, the network it was made from, and what is to be found out about it."""

    entries: dict[str, Any]
    net: Net
    layout: str
    pixels: Numbers | None
    heads: frozenset[str]
    encoder: str


def write(
    layout: str,
    pixels: Numbers | None,
    style: str,
    branches: int = 1,
    *,
    prefix: str = "",
    numbers: str = "",
    layer: bool = False,
    heads: Sequence[str] = (),
    outputs: int = 4,
    others: Mapping[str, nn.Module] | None = None,
    entry: str = "",
    wrapper: str = "",
    encoder: str = "resnet18(width=4)",
    beside: Mapping[str, Any] | None = None,
    **net: Any,
) -> Written:
    """A network of a style, its weights in an ``entry`` of the file with others ``beside`` it.

    ``numbers`` stand for the stages' names, and ``layer`` adds the one that normalizes. ``heads``
    are linear layers of so many ``outputs``, ``others`` further modules by their prefix.
    """
    made = Net(style, branches, **net)
    randomised(made, 5)
    stages = dict(zip(STAGES, numbers, strict=False))
    state, rest, beside = {}, {}, dict(beside or {})
    first = {f"normalize.{name}": tensor for name, tensor in NORMALIZE.items()} if layer else {}
    for name, tensor in (weights(made) | first).items():
        stage, dot, last = name.partition(".")
        state[prefix + stages.get(stage, stage) + dot + last] = tensor
    for seed, name in enumerate(heads):
        rest |= weights(randomised(nn.Linear(32, outputs), 90 + seed), f"{name}.")
    for name, module in (others or {}).items():
        rest |= weights(module, name)
    state = {f"{wrapper}{name}": tensor for name, tensor in (state | rest).items()}
    names = {*rest, *(f"classifier.{name}" for name in beside.get("classifier", {}))}
    entries = {entry: state, **beside} if entry else state
    return Written(entries, made, layout, pixels, frozenset(names), encoder)


clae = partial(write, "clae", HALF, "clae", prefix="encoder.")
acl = partial(write, "acl", IMAGENET, layer=True, entry="state_dict")
solo = partial(write, "solo-learn", None, "torchvision", entry="state_dict")
lightly = partial(write, "lightly", None, "torchvision", prefix="backbone.")
torchvision = partial(write, "torchvision", None, "torchvision")
kuangliu = partial(write, "pytorch-cifar", None, "kuangliu")
net = {"entry": "net", "wrapper": "module.", "beside": {"acc": 1.0, "epoch": 1}}
deep = {"depths": (3, 4, 6, 3)}
large = {"stem": 7, "padding": 3, "encoder": "resnet18(stem=imagenet, width=4)"}
optimizer = {"optimizer_state": {"param_groups": [{"lr": 0.1}]}, "rng_state": torch.get_rng_state()}

SINGLE: dict[str, Callable[[], Written]] = {
    "rocl": partial(
        write, "rocl", NOTHING, "kuangliu", entry="model", wrapper="module.", beside=optimizer
    ),
    "clae_single": clae,
    "acl_single": partial(acl, "acl"),
    "acl_finetuned": partial(acl, "torchvision", heads=["fc"]),
    "advcl_finetuned": partial(
        write,
        "advcl",
        NOTHING,
        "kuangliu",
        heads=["linear", "head_proj.0", "head_pred.0"],
        entry="model",
        beside={"classifier": weights(nn.Linear(32, 4), "fc.")},
    ),
    "solo": partial(
        solo,
        prefix="backbone.",
        padding=2,
        heads=["classifier", "projector.0"],
        others={"momentum_backbone.": Net("torchvision", padding=2)},
    ),
    "solo_older": partial(solo, prefix="encoder.", padding=2, heads=["classifier"]),
    # solo-learn changes torchvision's stem for CIFAR alone.
    "solo_large": partial(solo, prefix="backbone.", heads=["classifier", "projector.0"], **large),
    "lightly": partial(lightly, heads=["projection_head.layers.0"]),
    # lightly's Sequential of children has lost the ReLU that its forward pass applies by hand.
    "lightly_own": partial(
        write,
        "lightly-benchmark",
        None,
        "kuangliu",
        prefix="backbone.",
        numbers="012345",
        rectified=False,
        heads=["projection_head.layers.0"],
    ),
    "lightly_numbered": partial(lightly, numbers="014567"),
    "lightly_large": partial(lightly, numbers="014567", **large),
    "torchvision": partial(torchvision, heads=["fc"]),
    "torchvision_large": partial(torchvision, heads=["fc"], **large),
    "torchvision_34": partial(torchvision, encoder="resnet34(width=4)", **deep),
    "torchvision_50": partial(torchvision, encoder="resnet50(width=4)", expansion=4, **deep),
    "kuangliu": partial(kuangliu, heads=["linear"], **net),
    "kuangliu_8": partial(kuangliu, encoder="resnet8(width=4)", depths=(1, 1, 1)),
}
DUAL: dict[str, Callable[[], Written]] = {
    "clae": partial(clae, branches=2, heads=["projector.0", "projector.2"]),
    "clae_plain": partial(
        write, "clae-plain", CIFAR, "clae", 2, heads=["linear"], outputs=128, **net
    ),
    "acl": partial(
        acl,
        "acl",
        2,
        heads=["fc.fc1", "fc.fc2"],
        others={f"fc.bn1.bn_list.{branch}.": nn.BatchNorm1d(32) for branch in (0, 1)},
        beside={"epoch": 1, "optim": {"state": {}}},
    ),
    "acl_older": partial(acl, "acl-older", 2),
    "dynacl": partial(acl, "acl", 2, prefix="encoder_k.", others={"encoder_q.": Net("acl", 2)}),
    "advcl": partial(
        write,
        "advcl",
        NOTHING,
        "acl",
        3,
        heads=["fc_002", "fc_010", "head_proj.0", "head_proj.3", "head_pred.0", "head_pred.3"],
        entry="model",
        wrapper="module.",
        beside=optimizer,
    ),
}
LAYOUTS = SINGLE | DUAL
