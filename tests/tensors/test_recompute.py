"""A part that computes twice has the features, gradients and statistics of one that does not."""

from collections.abc import Iterator

import pytest
import torch
from torch import Generator, Tensor, nn

from robench.encoders.resnet8 import ResNet8
from robench.tensors import recompute
from robench.tensors.batchnorm import ADVERSARIAL, add_adversarial_branch, through_branch
from robench.tensors.modes import preserved_random_state


@pytest.fixture
def sparing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[nn.Module]]:
    """Every batch counts as large; the parts that are computed again, each time."""
    again: list[nn.Module] = []
    before = recompute._once_more

    def noted(part: nn.Module, in_use: list) -> object:
        again.append(part)
        return before(part, in_use)

    monkeypatch.setattr(recompute, "_LARGE", 0)
    monkeypatch.setattr(recompute, "_once_more", noted)
    return again


def make(dual: bool = False) -> nn.Module:
    with preserved_random_state():
        torch.manual_seed(0)
        network = ResNet8(width=4)
    if dual:
        add_adversarial_branch(network, momentum=0.01)
    return network.double().train()


def batch() -> Tensor:
    return torch.rand(5, 3, 8, 8, dtype=torch.float64, generator=Generator().manual_seed(1))


def trained(network: nn.Module) -> dict[str, Tensor]:
    """Features, gradients and statistics after one backward pass."""
    images = batch().requires_grad_()
    features = network(images)
    features.sin().sum().backward()
    gradients = {f"{name}.grad": p.grad for name, p in network.named_parameters()}
    return {"features": features, "images": images.grad, **gradients, **network.state_dict()}


def same(ours: dict[str, Tensor | None], theirs: dict[str, Tensor | None]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        if tensor is None:
            assert theirs[name] is None, name
        else:
            torch.testing.assert_close(tensor, theirs[name], rtol=1e-12, atol=1e-12, msg=name)


def test_nothing_changes_but_the_memory(
    sparing: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = trained(make())
    assert len(sparing) == 3
    monkeypatch.setattr(recompute, "_LARGE", 2**60)
    same(ours, trained(make()))
    assert len(sparing) == 3


def test_the_branch_of_the_first_time_serves_the_second(
    sparing: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    def adversarial(network: nn.Module) -> dict[str, Tensor]:
        with through_branch(network, ADVERSARIAL):
            features = network(batch())
        features.sin().sum().backward()  # the clean branch is in use again
        gradients = {f"{name}.grad": p.grad for name, p in network.named_parameters()}
        return {"features": features, **gradients, **network.state_dict()}

    ours = adversarial(make(dual=True))
    assert len(sparing) == 3
    monkeypatch.setattr(recompute, "_LARGE", 2**60)
    same(ours, adversarial(make(dual=True)))


def test_less_is_kept(sparing: list[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(network: nn.Module) -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            network(batch())
        return sum(sizes)

    few = kept(make())
    monkeypatch.setattr(recompute, "_LARGE", 2**60)
    assert few < kept(make()) / 2


@pytest.mark.parametrize("quiet", ["eval", "no_grad"])
def test_nothing_is_computed_twice_where_nothing_is_kept(
    sparing: list[nn.Module], quiet: str
) -> None:
    network = make()
    images = batch().requires_grad_()
    if quiet == "eval":
        network.eval()(images).sum().backward()
    else:
        with torch.no_grad():
            network(images)
    assert not sparing
