"""Several branches in one module: each keeps to itself, and the one in use returns."""

import pytest
import torch
from torch import Generator, Tensor, nn

from robench.encoders.resnet18 import ResNet18
from robench.tensors.batchnorm import (
    ADVERSARIAL,
    CLEAN,
    BranchedBatchNorm,
    add_branch,
    branches,
    through_branch,
    use_branch,
)
from robench.tensors.modes import preserved_random_state


def make(*added: str, momentum: float = 0.01) -> nn.Module:
    with preserved_random_state():
        torch.manual_seed(0)
        encoder = ResNet18(width=4)
    for branch in added:
        add_branch(encoder, branch, momentum)
    return encoder


def batch(seed: int = 0) -> Tensor:
    return torch.rand(6, 3, 8, 8, generator=Generator().manual_seed(seed))


def norms(encoder: nn.Module) -> list[BranchedBatchNorm]:
    return [module for module in encoder.modules() if isinstance(module, BranchedBatchNorm)]


def statistics(encoder: nn.Module, branch: str) -> list[Tensor]:
    parts = [getattr(norm, branch) for norm in norms(encoder)]
    return [t.clone() for part in parts for t in (part.running_mean, part.running_var)]


def equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_every_batchnorm_gets_a_second_branch_once() -> None:
    encoder = make()
    before = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    expected = encoder(batch())
    assert branches(encoder) == (CLEAN,)
    for _ in range(2):
        add_branch(encoder, ADVERSARIAL, momentum=0.03)
    assert branches(encoder) == (CLEAN, ADVERSARIAL)
    assert [norm.clean for norm in norms(encoder)] == before
    for norm in norms(encoder):
        assert (norm.adversarial.momentum, norm.clean.momentum) == (0.03, 0.1)
        assert norm.adversarial.eps == norm.clean.eps
        assert norm.adversarial.weight is not norm.clean.weight
    assert torch.equal(encoder(batch()), expected)


def test_each_branch_keeps_statistics_of_its_own() -> None:
    encoder = make(ADVERSARIAL)
    clean, adversarial = (statistics(encoder, branch) for branch in (CLEAN, ADVERSARIAL))
    with through_branch(encoder, ADVERSARIAL):
        encoder(batch())
    assert equal(statistics(encoder, CLEAN), clean)
    moved = statistics(encoder, ADVERSARIAL)
    assert not equal(moved, adversarial)
    encoder(batch(1)).square().sum().backward()
    assert not equal(statistics(encoder, CLEAN), clean)
    assert equal(statistics(encoder, ADVERSARIAL), moved)
    assert all(norm.clean.weight.grad is not None for norm in norms(encoder))
    assert all(norm.adversarial.weight.grad is None for norm in norms(encoder))


def test_the_momentum_is_the_share_of_the_new_batch() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3))
    add_branch(module, ADVERSARIAL, momentum=0.25)
    use_branch(module, ADVERSARIAL)
    module(batch())
    expected = 0.25 * batch().mean((0, 2, 3))
    torch.testing.assert_close(module[0].adversarial.running_mean, expected)


def test_an_unknown_branch_is_refused() -> None:
    encoder = make()
    with pytest.raises(ValueError, match=r"'adversarial'; this encoder has clean$"):
        use_branch(encoder, ADVERSARIAL)
    add_branch(encoder, ADVERSARIAL, momentum=0.01)
    with pytest.raises(ValueError, match="'dirty'; this encoder has clean, adversarial"):
        use_branch(encoder, "dirty")


def test_the_branch_before_returns_also_after_trouble() -> None:
    encoder, seen = make(ADVERSARIAL, "weak"), []

    def trouble() -> None:
        with through_branch(encoder, ADVERSARIAL):
            with through_branch(encoder, "weak"):
                seen.append({norm.branch for norm in norms(encoder)})
            seen.append({norm.branch for norm in norms(encoder)})
            raise KeyError

    with pytest.raises(KeyError):
        trouble()
    assert seen == [{"weak"}, {ADVERSARIAL}]
    assert {norm.branch for norm in norms(encoder)} == {CLEAN}


def test_a_projector_s_batchnorm_has_branches_too() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    for branch in ("strong", "weak"):
        add_branch(module, branch, momentum=0.5)
    assert branches(module) == (CLEAN, "strong", "weak")
    with through_branch(module, "weak"):
        module(batch().mean((2, 3)))
    moved = [bool(getattr(module[1], name).running_mean.any()) for name in branches(module)]
    assert moved == [False, False, True]


def test_only_branches_that_every_batchnorm_has_can_be_used() -> None:
    first, second = (nn.Sequential(nn.BatchNorm2d(3)) for _ in range(2))
    add_branch(first, "weak", momentum=0.5)
    add_branch(second, "strong", momentum=0.5)
    both = nn.Sequential(first, second)
    assert branches(both) == (CLEAN,)
    with pytest.raises(ValueError, match="no BatchNorm branch 'weak'"):
        use_branch(both, "weak")
