"""Names of other projects' residual networks, in one naming: that of pytorch-cifar.

``conv1.weight``, ``bn1.bias``, ``layer2.0.conv1.weight``, ``layer2.0.shortcut.1.weight``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from robench.grid.spec import SpecError
from robench.tensors.batchnorm import ADVERSARIAL, CLEAN

_STAGES = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
_FIRST_BLOCK: Mapping[str, str] = {
    "layer1.0.conv1.weight": "",
    # lightly's own ResNet (lightly/models/resnet.py:192-208) as a Sequential of its children
    # (docs/source/getting_started/benchmarks/cifar10_benchmark.py:364-367).
    "2.0.conv1.weight": "012345",
    # torchvision's ResNet in the same way (lightly, examples/pytorch/simclr.py:29-30): 2 is a ReLU
    # and 3 the max-pooling.
    "4.0.conv1.weight": "014567",
}
"""The first block's first convolution, and the numbers in place of the stages' names."""

_KEPT = ("", "backbone.", "encoder.")
"""Prefixes of the encoder, the first come first: momentum encoders and teachers have others."""


@dataclass(frozen=True)
class Trunk:
    """The part of a checkpoint that is a residual network: where it lies, and its names there.

    ``numbers`` stand for conv1, bn1 and the four layers in a Sequential; "" where they have names.
    """

    prefix: str
    numbers: str
    names: dict[str, str]
    """Every name that begins with the prefix, as the file has it: without prefix and numbers."""


def trunk(state: Mapping[str, Tensor]) -> Trunk:
    """Find the residual network in a checkpoint.

    Raises SpecError where there is none, or more than one and nothing says which is meant.
    """
    found: dict[str, str] = {}
    for first, numbers in _FIRST_BLOCK.items():
        for name in state:
            prefix = name.removesuffix(first)
            if name.endswith(first) and (not prefix or prefix.endswith(".")):
                found.setdefault(prefix, numbers)
    # DynACL's momentum model is used and saved through its encoder_k
    # (models/resnet_multi_bn.py:512-529, train_DynACL.py:235-238).
    kept = (*_KEPT, "encoder_k.") if any("bn_list" in name for name in state) else _KEPT
    candidates = [prefix for prefix in kept if prefix in found] or list(found)
    if not candidates:
        raise SpecError(
            "no residual network in the checkpoint: expected conv1, bn1, layer1.0.conv1, ...; "
            f"its weights begin with {', '.join(list(state)[:4])}"
        )
    chosen, *others = candidates
    if others and chosen not in kept:
        lie = ", ".join(sorted(found))
        raise SpecError(f"several encoders in the checkpoint ({lie}); save the one you mean")
    stages = dict(zip(found[chosen], _STAGES, strict=False))  # none where they have names
    names = {}
    for name in state:
        if name.startswith(chosen):
            head, dot, rest = name.removeprefix(chosen).partition(".")
            names[name] = stages.get(head, head) + dot + rest
    return Trunk(chosen, found[chosen], names)


_BRANCH = re.compile(r"_adv(?=\.)|\.bn_list(?:\.(\d+))?(?=\.)")
_BATCHNORM = re.compile(r"(?:^|\.)(?:bn\d|shortcut\.1)\.")


def place(name: str) -> tuple[str, str | None]:
    """Parse the name of a weight: its name here and, of BatchNorm's, the branch.

    Two branches are ``bn1`` and ``bn1_adv`` in CLAE (SimCLR/modules/resnet_BN.py:40-59) and in
    ACL's older checkpoints (utils.py:252-278); ``bn1.bn_list.0`` and ``.1`` in ACL
    (models/resnet_multi_bn.py:153-166, train_simCLR.py:60-63: normal, pgd), DynACL
    (models/resnet_multi_bn.py:153-166, train_DynACL.py:76) and AdvCL
    (models/resnet_cifar_multibn_ensembleFC.py:154-167), which has a third
    (pretraining_advCL.py:208).
    """
    # Shortcuts: downsample.0 and .1 in torchvision, .conv and .bn in ACL
    # (models/resnet_multi_bn.py:134-138), shortcut.0 and shortcut_bn in CLAE (resnet_BN.py:50-59).
    own = name.replace("downsample.", "shortcut.").replace("shortcut.conv.", "shortcut.0.")
    own = own.replace("shortcut.bn", "shortcut.1").replace("shortcut_bn", "shortcut.1")
    marked = _BRANCH.search(own)
    own = _BRANCH.sub("", own)
    if not _BATCHNORM.search(own):
        return own, None
    if marked is None:
        return own, CLEAN
    number = "1" if marked[0] == "_adv" else marked[1] or "0"
    return own, {"0": CLEAN, "1": ADVERSARIAL}.get(number, f"branch {number}")
