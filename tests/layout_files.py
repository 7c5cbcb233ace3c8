"""Checkpoints with random weights, as each project's code writes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from reference_nets import Net, randomised, weights
from torch import Tensor, nn

Numbers = tuple[tuple[float, ...], tuple[float, ...]]
IMAGENET: Numbers = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR: Numbers = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
HALF: Numbers = ((0.5,), (0.5,))
NOTHING: Numbers = ((0.0,), (1.0,))


@dataclass(frozen=True)
class Written:
    """What a file holds, the network it was made from, and what is to be found out about it."""

    entries: dict[str, Any]
    net: Net
    layout: str
    pixels: Numbers | None
    heads: frozenset[str]
    encoder: str = "resnet18(width=4)"


def _head(*names: str, outputs: int = 4, inputs: int = 32) -> dict[str, Tensor]:
    found = {}
    for seed, name in enumerate(names):
        found |= weights(randomised(nn.Linear(inputs, outputs), 90 + seed), f"{name}.")
    return found


def _wrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": tensor for name, tensor in state.items()}


def _net(style: str, branches: int = 1, **more: Any) -> Net:
    net = randomised(Net(style, branches, **more), 5)
    assert isinstance(net, Net)
    return net


def _layer() -> dict[str, Tensor]:
    return {
        f"normalize.{n}": torch.tensor(v) for n, v in zip(("mean", "std"), IMAGENET, strict=True)
    }


def rocl() -> Written:
    net = _net("kuangliu")
    entries = {
        "epoch": 3,
        "acc": 1.5,
        "model": _wrapped(weights(net)),
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "rng_state": torch.get_rng_state(),
    }
    return Written(entries, net, "rocl", NOTHING, frozenset())


def clae() -> Written:
    net = _net("clae", 2)
    heads = _head("projector.0", "projector.2")
    return Written(weights(net, "encoder.") | heads, net, "clae", HALF, frozenset(heads))


def clae_single() -> Written:
    net = _net("clae")
    return Written(weights(net, "encoder."), net, "clae", HALF, frozenset())


def clae_plain() -> Written:
    net, heads = _net("clae", 2), _head("linear", outputs=128)
    entries = {"net": _wrapped(weights(net) | heads), "acc": 1.0, "epoch": 1}
    return Written(entries, net, "clae-plain", CIFAR, frozenset(heads))


def acl() -> Written:
    net = _net("acl", 2)
    heads = _head("fc.fc1", "fc.fc2", outputs=32)
    heads |= weights(nn.BatchNorm1d(32), "fc.bn1.bn_list.0.")
    heads |= weights(nn.BatchNorm1d(32), "fc.bn1.bn_list.1.")
    entries = {"epoch": 1, "state_dict": weights(net) | heads | _layer(), "optim": {"state": {}}}
    return Written(entries, net, "acl", IMAGENET, frozenset(heads))


def acl_single() -> Written:
    net = _net("acl", 1)
    return Written({"state_dict": weights(net) | _layer()}, net, "acl", IMAGENET, frozenset())


def acl_older() -> Written:
    net = _net("acl-older", 2)
    entries = {"state_dict": weights(net) | _layer()}
    return Written(entries, net, "acl", IMAGENET, frozenset())


def acl_finetuned() -> Written:
    net, heads = _net("torchvision"), _head("fc")
    entries = {"state_dict": weights(net) | heads | _layer()}
    return Written(entries, net, "acl", IMAGENET, frozenset(heads))


def dynacl() -> Written:
    net = _net("acl", 2)
    other = weights(randomised(Net("acl", 2), 6), "encoder_q.")
    used = {f"encoder_k.{name}": tensor for name, tensor in (weights(net) | _layer()).items()}
    return Written({"state_dict": other | used}, net, "acl", IMAGENET, frozenset(other))


def advcl() -> Written:
    net = _net("acl", 3)
    heads = _head("fc_002", "fc_010", "head_proj.0", "head_proj.3", "head_pred.0", "head_pred.3")
    entries = {"model": _wrapped(weights(net) | heads), "epoch": 1, "rng_state": torch.zeros(3)}
    return Written(entries, net, "advcl", NOTHING, frozenset(heads))


def advcl_finetuned() -> Written:
    net, heads = _net("kuangliu"), _head("linear", "head_proj.0", "head_pred.0")
    classifier = _head("fc")
    entries = {"model": weights(net) | heads, "classifier": classifier, "epoch": 1}
    names = {*heads, *(f"classifier.{name}" for name in classifier)}
    return Written(entries, net, "advcl", NOTHING, frozenset(names))


def solo() -> Written:
    net = _net("torchvision", padding=2)
    heads = _head("classifier", "projector.0")
    heads |= weights(randomised(Net("torchvision", padding=2), 7), "momentum_backbone.")
    entries = {"state_dict": weights(net, "backbone.") | heads, "epoch": 1}
    return Written(entries, net, "solo-learn", None, frozenset(heads))


def solo_older() -> Written:
    net, heads = _net("torchvision", padding=2), _head("classifier")
    return Written(
        {"state_dict": weights(net, "encoder.") | heads}, net, "solo-learn", None, frozenset(heads)
    )


def lightly() -> Written:
    net, heads = _net("torchvision"), _head("projection_head.layers.0")
    return Written(
        {"state_dict": weights(net, "backbone.") | heads}, net, "lightly", None, frozenset(heads)
    )


def _numbered(net: Net, numbers: str) -> dict[str, Tensor]:
    parts = dict(
        zip(("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"), numbers, strict=True)
    )
    found = {}
    for name, tensor in weights(net).items():
        head, _, rest = name.partition(".")
        found[f"backbone.{parts[head]}.{rest}"] = tensor
    return found


def lightly_own() -> Written:
    # lightly's Sequential of children has lost the ReLU that its forward pass applies by hand.
    net, heads = _net("kuangliu", rectified=False), _head("projection_head.layers.0")
    entries = {"state_dict": _numbered(net, "012345") | heads}
    return Written(entries, net, "lightly-benchmark", None, frozenset(heads))


def lightly_numbered() -> Written:
    net = _net("torchvision")
    return Written(_numbered(net, "014567"), net, "lightly", None, frozenset())


def torchvision() -> Written:
    net, heads = _net("torchvision"), _head("fc")
    return Written(weights(net) | heads, net, "torchvision", None, frozenset(heads))


def torchvision_50() -> Written:
    net = _net("torchvision", depths=(3, 4, 6, 3), expansion=4)
    return Written(weights(net), net, "torchvision", None, frozenset(), "resnet50(width=4)")


LARGE = "resnet18(stem=imagenet, width=4)"


def torchvision_large() -> Written:
    net, heads = _net("torchvision", stem=7, padding=3), _head("fc")
    return Written(weights(net) | heads, net, "torchvision", None, frozenset(heads), LARGE)


def solo_large() -> Written:
    # solo-learn changes torchvision's stem for CIFAR alone.
    net, heads = _net("torchvision", stem=7, padding=3), _head("projector.0")
    entries = {"state_dict": weights(net, "backbone.") | heads}
    return Written(entries, net, "solo-learn", None, frozenset(heads), LARGE)


def lightly_large() -> Written:
    net = _net("torchvision", stem=7, padding=3)
    return Written(_numbered(net, "014567"), net, "lightly", None, frozenset(), LARGE)


def torchvision_34() -> Written:
    net = _net("torchvision", depths=(3, 4, 6, 3))
    return Written(weights(net), net, "torchvision", None, frozenset(), "resnet34(width=4)")


def kuangliu() -> Written:
    net, heads = _net("kuangliu"), _head("linear")
    entries = {"net": _wrapped(weights(net) | heads), "acc": 1.0, "epoch": 1}
    return Written(entries, net, "pytorch-cifar", None, frozenset(heads))


def kuangliu_8() -> Written:
    net = _net("kuangliu", depths=(1, 1, 1))
    return Written(weights(net), net, "pytorch-cifar", None, frozenset(), "resnet8(width=4)")


SINGLE: list[Callable[[], Written]] = [
    rocl,
    clae_single,
    acl_single,
    acl_finetuned,
    advcl_finetuned,
    solo,
    solo_older,
    lightly,
    lightly_own,
    lightly_numbered,
    torchvision,
    torchvision_50,
    torchvision_34,
    torchvision_large,
    solo_large,
    lightly_large,
    kuangliu,
    kuangliu_8,
]
DUAL: list[Callable[[], Written]] = [clae, clae_plain, acl, acl_older, dynacl, advcl]
