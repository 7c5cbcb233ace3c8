"""A second BatchNorm for adversarial batches, in any encoder built from `nn.BatchNorm2d`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import Tensor, nn

CLEAN, ADVERSARIAL = "clean", "adversarial"
BRANCHES = (CLEAN, ADVERSARIAL)


class DualBatchNorm2d(nn.Module):
    """Two `nn.BatchNorm2d` side by side, affine parameters too; ``branch`` says which is used.

    "clean" is the layer that was there before; "adversarial" starts fresh, with a momentum of its
    own.
    """

    def __init__(self, clean: nn.BatchNorm2d, momentum: float) -> None:
        super().__init__()
        self.clean = clean
        self.adversarial = nn.BatchNorm2d(clean.num_features, eps=clean.eps, momentum=momentum)
        self.branch = CLEAN

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, (self.clean if self.branch == CLEAN else self.adversarial)(images))


def add_adversarial_branch(encoder: nn.Module, momentum: float) -> None:
    """Replace every BatchNorm2d in ``encoder`` by a dual one, in place."""
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d) and not isinstance(module, DualBatchNorm2d):
                setattr(module, name, DualBatchNorm2d(child, momentum))


def branches(encoder: nn.Module) -> tuple[str, ...]:
    """The branches that the encoder has: ("clean",) or ("clean", "adversarial")."""
    dual = any(isinstance(module, DualBatchNorm2d) for module in encoder.modules())
    return BRANCHES if dual else (CLEAN,)


def use_branch(encoder: nn.Module, branch: str) -> None:
    """Send everything through one branch from now on.

    Raises ValueError where the encoder has no such branch.
    """
    _check(encoder, branch)
    for module in encoder.modules():
        if isinstance(module, DualBatchNorm2d):
            module.branch = branch


def adopt_branch(encoder: nn.Module, branch: str) -> None:
    """Give the clean branch the parameters and statistics of ``branch``.

    Raises ValueError where the encoder has no such branch.
    """
    _check(encoder, branch)
    for module in encoder.modules():
        if isinstance(module, DualBatchNorm2d):
            module.clean.load_state_dict(getattr(module, branch).state_dict())


@contextmanager
def through_branch(encoder: nn.Module, branch: str) -> Iterator[None]:
    """Send everything through ``branch`` inside the block, and through "clean" after it."""
    use_branch(encoder, branch)
    try:
        yield
    finally:
        use_branch(encoder, CLEAN)


def _check(encoder: nn.Module, branch: str) -> None:
    if branch not in branches(encoder):
        have = ", ".join(branches(encoder))
        raise ValueError(f"no BatchNorm branch '{branch}'; this encoder has {have}")
