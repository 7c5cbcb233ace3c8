"""Names of other projects' residual networks, in one naming: that of pytorch-cifar.

``conv1.weight``, ``bn1.bias``, ``layer2.0.conv1.weight``, ``layer2.0.shortcut.1.weight``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from robench.checkpoints.reading import unwrapped
from robench.grid.spec import SpecError
from robench.tensors.batchnorm import ADVERSARIAL, CLEAN

_STAGES = ("layer1", "layer2", "layer3", "layer4")
_FIRST_BLOCK = re.compile(r"((?:.*\.)?)(layer1|[2-4])\.0\.conv1\.weight")
# Layers of the network itself, and no head's; numbers that pixels are normalized by are no weights.
_LAYER = re.compile(
    r"(conv|bn|norm|normalizer?|layer|stem|block|stage|p?relu|act|se|(max|avg|attn)?pool)"
    r"\d*(_adv)?\.(?!(.*\.)?(mean|std|mu|sigma)$)"
)


@dataclass(frozen=True)
class Trunk:
    """The part of a checkpoint that is a residual network: where it lies, and its names there.

    ``first`` is the number of the first stage where a Sequential of its children was saved:
    4 for torchvision's (lightly, examples/pytorch/simclr.py:29-30), whose 2 is a ReLU and 3 the
    max-pooling, 3 without the pooling, and 2 for lightly's own ResNet (lightly/models/resnet.py:
    192-208, docs/source/getting_started/benchmarks/cifar10_benchmark.py:364-367). It is 0 where
    layers have names. ``others`` are the prefixes of further networks in the checkpoint.
    """

    prefix: str
    first: int
    names: dict[str, str]
    """Every name that begins with the prefix, as the file has it: without prefix and numbers."""
    others: tuple[str, ...]

    @property
    def last(self) -> str:
        """The last part of the prefix, such as "backbone"; "" if there is none."""
        return self.prefix.rstrip(".").rpartition(".")[2]

    def is_layer(self, name: str) -> bool:
        """Whether the name is of the network itself, and not of a head or a sibling."""
        return _LAYER.match(self.names.get(name, "")) is not None


def trunk(state: Mapping[str, Tensor], prefix: str | None = None) -> Trunk:
    """Find the residual network in a checkpoint: the one at ``prefix``, or the one that is there.

    Raises SpecError where there is none, or more than one and nothing says which is meant.
    """
    found: dict[str, int] = {}
    for match in filter(None, map(_FIRST_BLOCK.fullmatch, state)):
        at, stage = match.groups()
        first = 0 if stage == "layer1" else int(stage)
        found[at] = min(first, found.get(at, first))
    if not found:
        raise SpecError(
            "no residual network in the checkpoint: expected conv1, bn1, layer1.0.conv1, ...; "
            f"its weights begin with {', '.join(list(state)[:4])}"
        )
    chosen = _chosen(list(found), prefix, dynacl=any("bn_list" in name for name in state))
    others = tuple(at for at in found if at != chosen)
    inside = tuple(at for at in others if at.startswith(chosen))
    stages = {str(found[chosen] + i): stage for i, stage in enumerate(_STAGES)}
    stages = {"0": "conv1", "1": "bn1", **stages} if found[chosen] else {}
    names = {}
    for name in state:
        if name.startswith(chosen) and not name.startswith(inside):
            head, dot, rest = name.removeprefix(chosen).partition(".")
            names[name] = stages.get(head, head) + dot + rest
    return Trunk(chosen, found[chosen], names, others)


def _chosen(found: list[str], typed: str | None, dynacl: bool) -> str:
    listed = ", ".join(at.rstrip(".") or "''" for at in sorted(found))
    if typed is not None:
        end = f"{unwrapped(typed.rstrip('.'))}.".lstrip(".")
        chosen = [at for at in found if at == end or (end and at.endswith(f".{end}"))]
        chosen = [end] if end in chosen else chosen
        otherwise = f"no encoder at prefix '{typed}' in the checkpoint; it has {listed}"
    else:
        otherwise = f"several encoders in the checkpoint; choose with --prefix: {listed}"
        # DynACL's momentum model is used and saved through its encoder_k
        # (models/resnet_multi_bn.py:512-529, train_DynACL.py:235-238); those of solo-learn and
        # lightly are not used after training.
        of_dynacl = [at for at in found if dynacl and at.endswith("encoder_k.")]
        trained = [at for at in found if "momentum" not in at]
        chosen = found if len(found) == 1 else of_dynacl or trained
    if len(chosen) != 1:
        raise SpecError(otherwise)
    return chosen[0]


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
