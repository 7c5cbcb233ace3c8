"""Folding changes no number: features and gradients agree in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor, nn

from robench.encoders.resnet8 import ResNet8
from robench.encoders.resnet18 import ResNet18
from robench.encoders.resnet50 import ResNet50
from robench.tensors.batchnorm import (
    ADVERSARIAL,
    CLEAN,
    DualBatchNorm2d,
    add_adversarial_branch,
    use_branch,
)
from robench.tensors.features import fingerprint
from robench.tensors.folding import folded
from robench.tensors.modes import preserved_random_state


def make(kind: Callable[..., nn.Module], dual: bool = False) -> nn.Module:
    """A network in float64, with nothing at the value that it has at the start."""
    dice = Generator().manual_seed(3)
    with preserved_random_state():
        torch.manual_seed(0)
        network = kind()
    if dual:
        add_adversarial_branch(network, momentum=0.01)
    network.double()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.normal_(0.1, 0.3, generator=dice)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.3)
    return network


def batch() -> Tensor:
    return torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=Generator().manual_seed(1))


def norms(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | DualBatchNorm2d)]


def with_gradient(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    images = images.clone().requires_grad_()
    features = network(images)
    (gradient,) = torch.autograd.grad(features.sin().sum(), images)
    return features.detach(), gradient


@pytest.mark.parametrize("branch", [None, CLEAN, ADVERSARIAL])
@pytest.mark.parametrize("kind", [ResNet8, ResNet18, ResNet50])
def test_features_and_gradients_stay(kind: Callable[..., nn.Module], branch: str | None) -> None:
    network = make(lambda: kind(width=4), dual=branch is not None)
    if branch is not None:
        use_branch(network, branch)
    network.eval()
    expected = with_gradient(network, batch())
    fewer = folded(network)
    assert not norms(fewer)
    for ours, theirs in zip(with_gradient(fewer, batch()), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10 * theirs.abs().max())


def test_it_is_in_eval_mode_whatever_the_network_is_in() -> None:
    network = make(lambda: ResNet8(width=4)).train()
    fewer = folded(network)
    alone = torch.cat([fewer(image[None]) for image in batch()])
    torch.testing.assert_close(fewer(batch()), alone, rtol=1e-12, atol=0)
    assert not any(part.training for part in fewer.modules())
    assert all(part.training for part in network.modules())


def test_the_network_is_left_as_it_was() -> None:
    network = make(lambda: ResNet8(width=4))
    before = fingerprint(network)
    fewer = folded(network)
    assert not any(weights.requires_grad for weights in fewer.parameters())
    with torch.no_grad():
        for weights in fewer.parameters():
            weights.zero_()
    assert fingerprint(network) == before
    assert all(weights.requires_grad for weights in network.parameters())


def test_a_convolution_that_has_a_bias_keeps_it() -> None:
    network = make(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).eval()
    fewer = folded(network)
    assert not norms(fewer)
    torch.testing.assert_close(fewer(batch()), network(batch()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.Conv2d(3, 3, 3), nn.ReLU(), nn.BatchNorm2d(3)],
        lambda: [nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3)],
        lambda: [nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)],
    ],
    ids=["relu-between", "norm-first", "no-statistics"],
)
def test_what_cannot_be_folded_stays(layers: Callable[[], list[nn.Module]]) -> None:
    network = make(lambda: nn.Sequential(*layers())).eval()
    fewer = folded(network)
    assert len(norms(fewer)) == 1
    torch.testing.assert_close(fewer(batch()), network(batch()), rtol=1e-12, atol=1e-12)


def test_under_autocast_weights_are_cast_once() -> None:
    network = make(lambda: nn.Sequential(ResNet8(width=4), nn.Linear(16, 2))).float().eval()
    images = batch().float()
    exact = network(images).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fewer = folded(network)
        half = fewer(images)
    kinds = {w.dtype for m in fewer.modules() if isinstance(m, nn.Conv2d | nn.Linear)
             for w in m.parameters()}  # fmt: skip
    assert kinds == {torch.bfloat16}
    torch.testing.assert_close(half.float(), exact, rtol=0.05, atol=0.02 * float(exact.abs().max()))
    assert all(weights.dtype == torch.float32 for weights in folded(network).parameters())
