"""Several BatchNorms in the place of one, for batches whose statistics must not mix."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import Tensor, nn

CLEAN, ADVERSARIAL = "clean", "adversarial"

_KINDS = nn.BatchNorm1d, nn.BatchNorm2d


class BranchedBatchNorm(nn.Module):
    """BatchNorms side by side, affine parameters too; ``branch`` is the one in use.

    "clean" is the layer that was there before; others start fresh.
    """

    def __init__(self, clean: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.clean = clean
        self.branch = CLEAN

    @property
    def in_use(self) -> nn.Module:
        """The BatchNorm that batches go through."""
        return cast(nn.Module, getattr(self, self.branch))

    def forward(self, maps: Tensor) -> Tensor:
        return cast(Tensor, self.in_use(maps))


def add_branch(module: nn.Module, branch: str, momentum: float) -> None:
    """Give every BatchNorm1d and BatchNorm2d in ``module`` a fresh ``branch``, in place.

    One that has the branch already is left as it is.
    """
    for part in list(module.modules()):
        if isinstance(part, BranchedBatchNorm):
            continue
        for name, child in list(part.named_children()):
            if isinstance(child, _KINDS):
                child = BranchedBatchNorm(child)
                setattr(part, name, child)
            if isinstance(child, BranchedBatchNorm) and branch not in dict(child.named_children()):
                clean = child.clean
                fresh = type(clean)(clean.num_features, eps=clean.eps, momentum=momentum)
                child.add_module(branch, fresh)


def branches(module: nn.Module) -> tuple[str, ...]:
    """The branches that every branched BatchNorm of the module has; ("clean",) without any."""
    norms = _branched(module)
    names = [name for name, _ in norms[0].named_children()] if norms else [CLEAN]
    return tuple(name for name in names if all(hasattr(norm, name) for norm in norms))


def use_branch(module: nn.Module, branch: str) -> None:
    """Send everything through one branch from now on.

    Raises ValueError for a branch that the module does not have.
    """
    if branch not in branches(module):
        have = ", ".join(branches(module))
        raise ValueError(f"no BatchNorm branch '{branch}'; this encoder has {have}")
    for norm in _branched(module):
        norm.branch = branch


@contextmanager
def through_branch(module: nn.Module, branch: str) -> Iterator[None]:
    """Send everything through ``branch`` inside the block, and as before after it."""
    before = [(norm, norm.branch) for norm in _branched(module)]
    use_branch(module, branch)
    try:
        yield
    finally:
        for norm, used in before:
            norm.branch = used


def _branched(module: nn.Module) -> list[BranchedBatchNorm]:
    return [part for part in module.modules() if isinstance(part, BranchedBatchNorm)]
