"""Several branches in one module: each keeps to itself, and the one in use returns."""

import pytest
import torch
from torch import Generator, Tensor, nn

from robench.encoders.resnet8 import ResNet8
from robench.encoders.resnet18 import ResNet18
from robench.tensors.batchnorm import (
    ADVERSARIAL,
    CLEAN,
    BranchedBatchNorm,
    add_branch,
    adopt_branch,
    branches,
    through_branch,
    use_branch,
)
from robench.tensors.modes import preserved_random_state

each_encoder = pytest.mark.parametrize("kind", [ResNet8, ResNet18])


def make(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    with preserved_random_state():
        torch.manual_seed(seed)
        return kind(width=4)


def batch(seed: int = 0) -> Tensor:
    return torch.rand(6, 3, 8, 8, generator=Generator().manual_seed(seed))


def norms(encoder: nn.Module) -> list[BranchedBatchNorm]:
    return [module for module in encoder.modules() if isinstance(module, BranchedBatchNorm)]


def statistics(encoder: nn.Module, branch: str) -> list[Tensor]:
    parts = [getattr(norm, branch) for norm in norms(encoder)]
    return [t.clone() for part in parts for t in (part.running_mean, part.running_var)]


def equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@each_encoder
def test_every_batchnorm_gets_a_second_branch(kind: type[nn.Module]) -> None:
    encoder = make(kind)
    before = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert branches(encoder) == ("clean",)
    add_branch(encoder, ADVERSARIAL, momentum=0.03)
    assert branches(encoder) == ("clean", "adversarial")
    assert [norm.clean for norm in norms(encoder)] == before
    for norm in norms(encoder):
        assert norm.adversarial.momentum == 0.03
        assert norm.clean.momentum == 0.1
        assert norm.adversarial.eps == norm.clean.eps
        assert norm.adversarial.weight is not norm.clean.weight


@each_encoder
def test_the_clean_branch_computes_what_the_encoder_did(kind: type[nn.Module]) -> None:
    plain, dual = make(kind), make(kind)
    add_branch(dual, ADVERSARIAL, momentum=0.01)
    assert torch.equal(dual(batch()), plain(batch()))


def test_adding_the_branch_twice_adds_it_once() -> None:
    encoder = make(ResNet8)
    add_branch(encoder, ADVERSARIAL, momentum=0.01)
    names = list(encoder.state_dict())
    add_branch(encoder, ADVERSARIAL, momentum=0.01)
    assert list(encoder.state_dict()) == names


def test_each_branch_keeps_statistics_of_its_own() -> None:
    encoder = make(ResNet8)
    add_branch(encoder, ADVERSARIAL, momentum=0.01)
    clean, adversarial = (statistics(encoder, branch) for branch in (CLEAN, ADVERSARIAL))
    with through_branch(encoder, ADVERSARIAL):
        encoder(batch())
    assert equal(statistics(encoder, CLEAN), clean)
    moved = statistics(encoder, ADVERSARIAL)
    assert not equal(moved, adversarial)
    encoder(batch(1))
    assert not equal(statistics(encoder, CLEAN), clean)
    assert equal(statistics(encoder, ADVERSARIAL), moved)


def test_each_branch_has_weights_of_its_own() -> None:
    encoder = make(ResNet8)
    add_branch(encoder, ADVERSARIAL, momentum=0.01)
    encoder(batch()).square().sum().backward()
    for norm in norms(encoder):
        assert norm.clean.weight.grad is not None
        assert norm.adversarial.weight.grad is None


def test_the_momentum_is_the_share_of_the_new_batch() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3))
    add_branch(module, ADVERSARIAL, momentum=0.25)
    use_branch(module, ADVERSARIAL)
    images = batch()
    module(images)
    expected = 0.25 * images.mean((0, 2, 3))
    torch.testing.assert_close(module[0].adversarial.running_mean, expected)


@each_encoder
def test_the_state_goes_round(kind: type[nn.Module]) -> None:
    trained, restored = make(kind), make(kind, seed=1)
    for encoder in (trained, restored):
        add_branch(encoder, ADVERSARIAL, momentum=0.01)
    for branch in (CLEAN, ADVERSARIAL):
        with through_branch(trained, branch):
            trained(batch(2))
    restored.load_state_dict(trained.state_dict())
    trained.eval(), restored.eval()
    for branch in (CLEAN, ADVERSARIAL):
        with through_branch(trained, branch), through_branch(restored, branch):
            assert torch.equal(restored(batch()), trained(batch()))


def test_the_branches_differ_after_training() -> None:
    encoder = make(ResNet8)
    add_branch(encoder, ADVERSARIAL, momentum=0.01)
    encoder(batch())
    encoder.eval()
    clean = encoder(batch())
    use_branch(encoder, ADVERSARIAL)
    assert not torch.allclose(encoder(batch()), clean)


def test_an_unknown_branch_is_refused() -> None:
    encoder = make(ResNet8)
    with pytest.raises(ValueError, match=r"'adversarial'; this encoder has clean$"):
        use_branch(encoder, ADVERSARIAL)
    add_branch(encoder, ADVERSARIAL, momentum=0.01)
    with pytest.raises(ValueError, match="'dirty'; this encoder has clean, adversarial"):
        use_branch(encoder, "dirty")


def test_the_branch_before_returns_also_after_trouble() -> None:
    encoder = make(ResNet8)
    for branch in (ADVERSARIAL, "weak"):
        add_branch(encoder, branch, momentum=0.01)
    seen = []

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
    points = batch().mean((2, 3))
    with through_branch(module, "weak"):
        module(points)
    moved = {name: bool(getattr(module[1], name).running_mean.any()) for name in branches(module)}
    assert moved == {CLEAN: False, "strong": False, "weak": True}


def test_only_branches_that_every_batchnorm_has_can_be_used() -> None:
    first, second = (nn.Sequential(nn.BatchNorm2d(3)) for _ in range(2))
    add_branch(first, "weak", momentum=0.5)
    add_branch(second, "strong", momentum=0.5)
    both = nn.Sequential(first, second)
    assert branches(both) == (CLEAN,)
    with pytest.raises(ValueError, match="no BatchNorm branch 'weak'"):
        use_branch(both, "weak")


@each_encoder
def test_the_clean_branch_can_adopt_the_other(kind: type[nn.Module]) -> None:
    encoder = make(kind)
    add_branch(encoder, ADVERSARIAL, momentum=0.5)
    with through_branch(encoder, ADVERSARIAL):
        encoder(batch(1))
        adversarial = encoder.eval()(batch())
    before = statistics(encoder, ADVERSARIAL)
    clean = encoder(batch())
    adopt_branch(encoder, CLEAN)
    assert torch.equal(encoder(batch()), clean)
    adopt_branch(encoder, ADVERSARIAL)
    assert torch.equal(encoder(batch()), adversarial)
    assert not torch.equal(clean, adversarial)
    encoder.train()(batch(2))
    assert equal(statistics(encoder, ADVERSARIAL), before)
    assert {norm.clean.momentum for norm in norms(encoder)} == {0.1}


def test_a_branch_that_is_not_there_cannot_be_adopted() -> None:
    encoder = make(ResNet8)
    adopt_branch(encoder, CLEAN)
    with pytest.raises(ValueError, match="no BatchNorm branch 'adversarial'; this encoder has cle"):
        adopt_branch(encoder, ADVERSARIAL)
