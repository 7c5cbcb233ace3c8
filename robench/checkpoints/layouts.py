"""Whose code wrote a checkpoint, told from its names, and what that says of input and branches."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from robench.checkpoints.naming import Trunk, place, stem_kernel
from robench.checkpoints.reading import Checkpoint
from robench.grid.spec import SpecError
from robench.tensors.batchnorm import ADVERSARIAL, CLEAN


@dataclass(frozen=True)
class Normalisation:
    """Pixels x in [0, 1] go in as (x - mean) / std; one number, or one for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    why: str


@dataclass(frozen=True)
class Layout:
    """One way of writing a residual network to disk.

    ``normalisation`` is None where the names do not tell it, and ``hint`` has what is usual there.
    ``evaluated`` says which BatchNorm branch the authors evaluate. ``padding`` is that of a
    3x3 stem, and ``rectified`` whether a ReLU ends the stem.
    """

    name: str
    normalisation: Normalisation | None = None
    hint: str = ""
    evaluated: str = ""
    padding: int = 1
    rectified: bool = True

    @property
    def stem(self) -> str:
        """What is unusual about the stem, in words; "" for nothing."""
        unusual = [f"pads by {self.padding}"] if self.padding != 1 else []
        unusual += [] if self.rectified else ["has no ReLU"]
        return " and ".join(unusual)


def _none(why: str) -> Normalisation:
    return Normalisation((0.0,), (1.0,), why)


CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)

ROCL = Layout("RoCL", _none("none: src/data_loader.py:14-49"))
CLAE = Layout(
    "CLAE",
    Normalisation(
        (0.5,), (0.5,), "SimCLR/modules/transformations/simclr.py:15-16, eval_lr.py:125-128"
    ),
    evaluated="CLAE evaluates clean (SimCLR/eval_lr.py:59)",
)
CLAE_PLAIN = Layout(
    "CLAE Plain or UEL",
    Normalisation(CIFAR_MEAN, CIFAR_STD, "Plain/main.py:140, UEL/main.py:125"),
    evaluated="CLAE evaluates clean (Plain/utils.py:120, 137)",
)
ACL = Layout(
    "ACL or DynACL",
    hint="their code normalises with a layer that this checkpoint lacks",
    evaluated="ACL and DynACL evaluate adversarial (--bnNameCnt 1 in their read-me files)",
)
ADVCL = Layout(
    "AdvCL",
    _none("none: pretraining_advCL.py:105-123, models/resnet_cifar.py:75, 156"),
    evaluated="AdvCL evaluates adversarial (finetuning_advCL_SLF.py:139, utils.py:93-118)",
)
SOLO = Layout(
    "solo-learn",
    hint="solo-learn's depends on the data set (solo/data/pretrain_dataloader.py:206-212); for "
    "CIFAR-10: --mean 0.4914,0.4822,0.4465 --std 0.2470,0.2435,0.2616",
    padding=2,  # of the CIFAR stem: solo/methods/base.py:198-202
)
SOLO_LARGE = replace(SOLO, padding=1)  # it changes no other stem than that one
LIGHTLY = Layout(
    "lightly",
    hint="lightly's default is --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 "
    "(lightly/transforms/utils.py:1)",
)
# Its forward pass has the stem's ReLU as a function (lightly/models/resnet.py:236), which is lost
# where the children become a Sequential (cifar10_benchmark.py:365-367).
LIGHTLY_CHILDREN = replace(LIGHTLY, name="lightly benchmark", rectified=False)
TORCHVISION = Layout(
    "torchvision",
    hint="for ImageNet it is usually --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
)
KUANGLIU = Layout(
    "pytorch-cifar",
    hint="pytorch-cifar's is --mean 0.4914,0.4822,0.4465 --std 0.2023,0.1994,0.2010 "
    "(main.py:34); where pixels go in as they are: --mean 0 --std 1",
)


def recognise(checkpoint: Checkpoint, trunk: Trunk) -> Layout:
    """The layout of a checkpoint, by the names in it."""
    inside = set(trunk.names.values())
    beside = {name.partition(".")[0] for name in checkpoint.state.keys() - trunk.names.keys()}
    beside |= {name.partition(".")[0] for name in inside}
    text = " ".join(inside)
    if "bn_list" in text:
        # AdvCL's heads: models/resnet_cifar_multibn_ensembleFC.py:258-286.
        return ADVCL if "head_proj" in beside else ACL
    if "downsample.conv" in text or ("downsample" in text and "normalize" in beside):
        return ACL  # converted for its own linear evaluation: models/resnet.py:131-132
    if "shortcut_bn" in text:
        # SimCLR/modules/simclr_BN.py:29 against Plain/models/resnet_cifar.py:142-154.
        return CLAE if trunk.prefix == "encoder." else CLAE_PLAIN
    # lightly's names: examples/pytorch/simclr.py:20-21,
    # benchmarks/imagenet/resnet50/simclr.py:29-33.
    if trunk.numbers == "012345":
        return LIGHTLY_CHILDREN
    if trunk.numbers or {"projection_head", "online_classifier"} & beside:
        return LIGHTLY
    if "shortcut" in text:
        if {"head_proj", "head_pred"} <= beside:
            return (
                ADVCL  # fine-tuned: finetuning_advCL_SLF.py:323-328, models/resnet_cifar.py:89-101
            )
        # What RoCL puts beside its weights: src/utils.py:169-175.
        if {"model", "optimizer_state", "rng_state"} <= checkpoint.entries:
            return ROCL
        return KUANGLIU
    # solo-learn's names: solo/methods/base.py:193, 210, 643; older ones say encoder
    # (main_linear.py:75-82).
    if trunk.prefix in ("backbone.", "encoder.") and _solo(beside):
        return SOLO if stem_kernel(checkpoint.state, trunk) == (3, 3) else SOLO_LARGE
    return TORCHVISION


def _solo(beside: set[str]) -> bool:
    return any(name in ("classifier", "projector", "predictor") for name in beside) or any(
        name.startswith("momentum_") for name in beside
    )


def normalisation(
    layout: Layout, state: Mapping[str, Tensor], trunk: Trunk, given: Normalisation | None
) -> Normalisation:
    """How pixels go in: as ``given``, else by the checkpoint's own layer, else by its layout.

    Raises SpecError where none of them tells it.
    """
    if given is not None:
        return given
    own = {inner: state[name] for name, inner in trunk.names.items()}
    # The buffers of ACL's and DynACL's first layer: utils.py:20-28, models/resnet_multi_bn.py:232.
    if {"normalize.mean", "normalize.std"} <= own.keys():
        mean, std = (tuple(own[f"normalize.{name}"].flatten().tolist()) for name in ("mean", "std"))
        return Normalisation(mean, std, "the checkpoint's own first layer")
    if layout.normalisation is None:
        raise SpecError(
            f"the input normalisation of a {layout.name} checkpoint cannot be told from its names; "
            f"give --mean and --std ({layout.hint})"
        )
    return layout.normalisation


def choose_branch(layout: Layout, trunk: Trunk, asked: str | None) -> str:
    """The BatchNorm branch to use: "clean" where there is one only, else as ``asked``.

    Raises SpecError where there are two and nothing was asked for, or one that is not there was.
    """
    have = {place(name).branch for name in trunk.names.values()} & {CLEAN, ADVERSARIAL}
    if asked is None and ADVERSARIAL in have:
        raise SpecError(
            "the checkpoint has two BatchNorm branches; give --bn clean or --bn adversarial"
            + (f" ({layout.evaluated})" if layout.evaluated else "")
        )
    if asked == ADVERSARIAL and ADVERSARIAL not in have:
        raise SpecError(f"no BatchNorm branch '{asked}' in the checkpoint; it has one: leave --bn")
    return asked or CLEAN
