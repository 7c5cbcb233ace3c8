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

_STAGES = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
PIXELS = {"mean": "std", "mu": "sigma"}
"""Names of the numbers that pixels are normalized by: of a mean, its standard deviation's."""

_FIRST_BLOCK = re.compile(r"((?:.*\.)?)(layer1|[2-4])\.0\.conv1\.weight")
_LAYER = re.compile(
    r"(conv|bn|norm|normalizer?|layer|stem|block|stage|p?relu|act|se|(max|avg|attn)?pool)"
    r"\d*(_adv)?\."
)


@dataclass(frozen=True)
class Trunk:
    """The part of a checkpoint that is a residual network: where it lies, and its names there.

    ``first`` is the number of the first stage where a Sequential of its children was saved:
    4 for torchvision's (lightly, examples/pytorch/simclr.py:29-30), whose 2 is a ReLU and 3 the
    max-pooling, 3 without the pooling, and 2 for lightly's own ResNet (lightly/models/resnet.py:
    192-208, docs/source/getting_started/benchmarks/cifar10_benchmark.py:364-367). It is None where
    layers have names. ``others`` are the prefixes of further networks in the checkpoint.
    """

    prefix: str
    first: int | None
    names: dict[str, str]
    """Every name that begins with the prefix, as the file has it: without prefix and numbers."""
    others: tuple[str, ...] = ()

    @property
    def last(self) -> str:
        """The last part of the prefix, such as "backbone"; "" if there is none."""
        return self.prefix.rstrip(".").rpartition(".")[2]

    def is_layer(self, name: str) -> bool:
        """Whether the name is of the network itself, and not of a head or a sibling."""
        inner = self.names.get(name, "")
        return _LAYER.match(inner) is not None and inner.rpartition(".")[2] not in {
            *PIXELS,
            *PIXELS.values(),
        }


def trunk(state: Mapping[str, Tensor], prefix: str | None = None) -> Trunk:
    """Find the residual network in a checkpoint: the one at ``prefix``, or the one that is there.

    A momentum encoder's (solo-learn, lightly) is not taken where there is another, as their code
    evaluates the other. Raises SpecError where there is none, or more than one.
    """
    found: dict[str, int | None] = {}
    for name in state:
        if match := _FIRST_BLOCK.fullmatch(name):
            at, first = match.groups()
            number = None if first == "layer1" else int(first)
            if at not in found or (number or 0) < (found[at] or 0):
                found[at] = number
    if not found:
        raise SpecError(
            "no residual network in the checkpoint: expected conv1, bn1, layer1.0.conv1, ...; "
            f"its weights begin with {', '.join(list(state)[:4])}"
        )
    listed = ", ".join(at.rstrip(".") or "''" for at in sorted(found))
    chosen = list(found)
    if prefix is not None:
        typed = unwrapped(prefix.rstrip("."))
        exact = [at for at in found if at.rstrip(".") == typed]
        chosen = exact or [at for at in found if typed and f".{at}".endswith(f".{typed}.")]
        if len(chosen) != 1:
            raise SpecError(f"no encoder at prefix '{prefix}' in the checkpoint; it has {listed}")
    elif len(found) > 1:
        # DynACL's momentum model is used and saved through its encoder_k
        # (models/resnet_multi_bn.py:512-529, train_DynACL.py:235-238).
        dynacl = any("bn_list" in name for name in state)
        chosen = [at for at in found if dynacl and at.endswith("encoder_k.")]
        chosen = chosen or [at for at in found if "momentum" not in at]
        if len(chosen) != 1:
            raise SpecError(f"several encoders in the checkpoint; choose with --prefix: {listed}")
    (at,) = chosen
    first = found.pop(at)
    inside = [other for other in found if other.startswith(at)]
    stages = {} if first is None else {"0": "conv1", "1": "bn1"}
    if first is not None:
        stages |= {str(first + i): stage for i, stage in enumerate(_STAGES[2:])}
    names = {}
    for name in state:
        if name.startswith(at) and not name.startswith(tuple(inside)):
            head, dot, rest = name.removeprefix(at).partition(".")
            names[name] = stages.get(head, head) + dot + rest
    return Trunk(at, first, names, tuple(found))


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
