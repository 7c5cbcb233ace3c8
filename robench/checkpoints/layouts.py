"""The code that wrote a checkpoint, recognised by names; its input, stem and evaluated branch."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from robench.checkpoints.naming import Trunk, place
from robench.checkpoints.reading import Checkpoint
from robench.grid.spec import SpecError, show
from robench.tensors.batchnorm import ADVERSARIAL, CLEAN
from robench.tensors.resnet import CIFAR, NORMALIZATIONS


@dataclass(frozen=True)
class Layout:
    """One way of writing a residual network to disk.

    ``normalize`` is the input's, as encoders take it, and ``source`` the authors' line of it; where
    that is "", the names do not decide it and ``hint`` has the usual one. ``evaluated`` says which
    BatchNorm branch the authors evaluate, and ``stem`` is that of networks whose stem is 3x3.
    """

    name: str
    normalize: str | None = None
    source: str = ""
    hint: str = ""
    evaluated: str = ""
    stem: str = CIFAR


ROCL = Layout("rocl", None, "src/data_loader.py:14-49")
CLAE = Layout(
    "clae",
    "half",
    "SimCLR/modules/transformations/simclr.py:15-16, eval_lr.py:125-128",
    evaluated="CLAE evaluates clean (SimCLR/eval_lr.py:59)",
)
CLAE_PLAIN = Layout(  # and UEL
    "clae-plain",
    "pytorch-cifar",
    "Plain/main.py:140, UEL/main.py:125",
    evaluated="CLAE evaluates clean (Plain/utils.py:120, 137)",
)
ACL = Layout(  # and DynACL
    "acl",
    hint="their code normalizes with a layer that this checkpoint lacks",
    evaluated="ACL and DynACL evaluate adversarial (--bnNameCnt 1 in their read-me files)",
)
ADVCL = Layout(
    "advcl",
    None,
    "pretraining_advCL.py:105-123, models/resnet_cifar.py:75, 156",
    evaluated="AdvCL evaluates adversarial (finetuning_advCL_SLF.py:139, utils.py:93-118)",
)
SOLO = Layout(
    "solo-learn",
    hint="solo-learn's is cifar10 or cifar100 for these data sets, and imagenet for others "
    "(solo/data/pretrain_dataloader.py:206-216, 265-266)",
    stem="cifar-pad2",  # solo/methods/base.py:198-202
)
LIGHTLY = Layout("lightly", hint="lightly's default is imagenet: lightly/transforms/utils.py:1")
# Its forward pass has the stem's ReLU as a function (lightly/models/resnet.py:236), which is lost
# where the children become a Sequential (cifar10_benchmark.py:365-367).
LIGHTLY_CHILDREN = replace(LIGHTLY, name="lightly-benchmark", stem="cifar-no-relu")
TORCHVISION = Layout("torchvision", hint="for ImageNet it is usually imagenet")
KUANGLIU = Layout(
    "pytorch-cifar",
    hint="pytorch-cifar's is pytorch-cifar (main.py:34); none where pixels go in as they are",
)


def recognise(checkpoint: Checkpoint, trunk: Trunk) -> Layout:
    """The layout of a checkpoint, by the names in it."""
    text = " ".join(trunk.names.values())
    beside = {part for name in checkpoint.state for part in name.split(".")}
    if "bn_list" in text:
        # AdvCL's heads: models/resnet_cifar_multibn_ensembleFC.py:258-286.
        return ADVCL if "head_proj" in beside else ACL
    if "downsample.conv" in text or ("downsample" in text and "normalize" in beside):
        return ACL  # converted for its own linear evaluation: models/resnet.py:131-132
    if "shortcut_bn" in text:
        # SimCLR/modules/simclr_BN.py:29 against Plain/models/resnet_cifar.py:142-154.
        return CLAE if trunk.last == "encoder" else CLAE_PLAIN
    # lightly's names: examples/pytorch/simclr.py:20-21,
    # benchmarks/imagenet/resnet50/simclr.py:29-33.
    if trunk.first == 2:
        return LIGHTLY_CHILDREN
    lightly = trunk.last == "backbone" and {"projection_head", "online_classifier"} & beside
    if trunk.first or lightly:
        return LIGHTLY
    if "shortcut" in text:
        if {"head_proj", "head_pred"} <= beside:
            # Fine-tuned: finetuning_advCL_SLF.py:323-328, models/resnet_cifar.py:89-101.
            return ADVCL
        # RoCL's entries beside its weights: src/utils.py:169-175.
        if {"model", "optimizer_state", "rng_state"} <= checkpoint.entries:
            return ROCL
        return KUANGLIU
    # solo-learn's names: solo/methods/base.py:193, 210, 643; older ones say encoder
    # (main_linear.py:75-82). Its files have a classifier, unlike SimSiam's with the other names.
    if trunk.last in ("backbone", "encoder") and any(
        part == "classifier" or part.startswith("momentum_") for part in beside
    ):
        return SOLO
    return TORCHVISION


def usual_stem(layout: Layout, kernel: str, trunk: Trunk) -> str:
    """The encoder's ``stem``: of the usual one for its ``kernel``, the one of the layout.

    Stride, padding and pooling have no names, but a Sequential's numbers leave none for a pooling.
    """
    if kernel == CIFAR:
        return layout.stem
    without = {0: "", 4: "", 3: "-no-pool", 2: "-no-relu-no-pool"}
    return kernel + without[trunk.first]


def normalization(
    layout: Layout, state: Mapping[str, Tensor], trunk: Trunk
) -> tuple[str | None, str]:
    """The encoder's ``normalize``, by the checkpoint's own numbers or else its layout; its source.

    Raises SpecError if neither says it.
    """
    # The buffers of ACL's and DynACL's first layer: utils.py:20-28, models/resnet_multi_bn.py:232.
    if names := pixel_names(state, trunk):
        numbers = [state[name].flatten().tolist() for name in names]
        scale = 255 if max(numbers[0]) > 1 else 1  # of pixels up to 255
        text = ":".join(",".join(f"{one / scale:.6g}" for one in part) for part in numbers)
        named = {_text(known): name for name, known in NORMALIZATIONS.items()}
        return named.get(text, text), f"{' and '.join(names)} in the checkpoint"
    if not layout.source:
        choices = ", ".join([show(None), *NORMALIZATIONS])
        raise SpecError(
            f"the input normalization of a {layout.name} checkpoint is not in its names; give it "
            f"with --normalize: one of {choices}, or 'MEAN:STD' ({layout.hint})"
        )
    return layout.normalize, f"the layout's: {layout.source}"


def pixel_names(state: Mapping[str, Tensor], trunk: Trunk) -> tuple[str, ...]:
    """The names of the mean and standard deviation of pixels; none where there are none."""
    for name in sorted(state, key=lambda name: name not in trunk.names):
        found = re.fullmatch(r"(.*?)(mean|mu)", name)
        twin = f"{found[1]}{'std' if found[2] == 'mean' else 'sigma'}" if found else ""
        if twin in state and {state[name].numel(), state[twin].numel()} <= {1, 3}:
            return name, twin
    return ()


def _text(numbers: Iterable[Iterable[float]]) -> str:
    return ":".join(",".join(map(str, part)) for part in numbers)


def choose_branch(layout: Layout, trunk: Trunk, asked: str | None) -> str:
    """The BatchNorm branch to use: as ``asked``, or "clean" if there is only one.

    Raises SpecError if there are two and none was asked for, or for a branch that is not there.
    """
    if asked not in (None, CLEAN, ADVERSARIAL):
        raise SpecError(f"no BatchNorm branch '{asked}'; choose clean or adversarial")
    have = {place(name)[1] for name in trunk.names.values()}
    if asked is None and ADVERSARIAL in have:
        raise SpecError(
            "the checkpoint has two BatchNorm branches; give --bn clean or --bn adversarial"
            + (f" ({layout.evaluated})" if layout.evaluated else "")
        )
    if asked == ADVERSARIAL and ADVERSARIAL not in have:
        raise SpecError(f"no BatchNorm branch '{asked}' in the checkpoint; it has one: omit --bn")
    return asked or CLEAN
