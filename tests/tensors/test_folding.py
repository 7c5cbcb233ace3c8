"""Folding changes no number: features and gradients agree in float64."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Generator, Tensor, nn

from robench.encoders.resnet8 import ResNet8
from robench.encoders.resnet18 import ResNet18
from robench.encoders.resnet50 import ResNet50
from robench.tensors.batchnorm import (
    ADVERSARIAL,
    CLEAN,
    BranchedBatchNorm,
    add_branch,
    use_branch,
)
from robench.tensors.convolution import quick_convolutions
from robench.tensors.features import fingerprint
from robench.tensors.folding import fast_copy, folded
from robench.tensors.modes import preserved_random_state


def make(kind: Callable[..., nn.Module], dual: bool = False) -> nn.Module:
    """A network in float64, with nothing at the value that it has at the start."""
    dice = Generator().manual_seed(3)
    with preserved_random_state():
        torch.manual_seed(0)
        network = kind()
    if dual:
        add_branch(network, ADVERSARIAL, momentum=0.01)
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
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | BranchedBatchNorm)]


def with_gradient(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    images = images.clone().requires_grad_()
    features = network(images)
    (gradient,) = torch.autograd.grad(features.sin().sum(), images)
    return features.detach(), gradient


@pytest.mark.parametrize("copied", [folded, lambda model: fast_copy(model, check_on=batch())])
@pytest.mark.parametrize("branch", [None, CLEAN, ADVERSARIAL])
@pytest.mark.parametrize("kind", [ResNet8, ResNet18, ResNet50])
def test_a_copy_has_the_network_s_values_and_leaves_it_alone(
    kind: Callable[..., nn.Module], branch: str | None, copied: Callable[[nn.Module], nn.Module]
) -> None:
    network = make(lambda: kind(width=4), dual=branch is not None).eval()
    if branch is not None:
        use_branch(network, branch)
    before, layout = fingerprint(network), next(network.parameters()).stride()
    fewer = copied(network)
    assert not norms(fewer)
    assert fingerprint(network) == before
    assert next(network.parameters()).stride() == layout
    expected = with_gradient(network, batch())
    network.train()
    assert not any(part.training for part in fewer.modules())
    assert not any(weights.requires_grad for weights in fewer.parameters())
    assert all(weights.requires_grad for weights in network.parameters())
    for ours, theirs in zip(with_gradient(fewer, batch()), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9 * theirs.abs().max())


def test_it_is_in_eval_mode_and_leaves_the_network_as_it_was() -> None:
    network = make(lambda: ResNet8(width=4)).train()
    before = fingerprint(network)
    fewer = folded(network)
    alone = torch.cat([fewer(image[None]) for image in batch()])
    torch.testing.assert_close(fewer(batch()), alone, rtol=1e-12, atol=0)
    assert not any(part.training for part in fewer.modules())
    assert all(part.training for part in network.modules())
    assert not any(weights.requires_grad for weights in fewer.parameters())
    with torch.no_grad():
        for weights in fewer.parameters():
            weights.zero_()
    assert fingerprint(network) == before
    assert all(weights.requires_grad for weights in network.parameters())


@pytest.mark.parametrize("quick", [False, True])
def test_a_convolution_that_has_a_bias_keeps_it(quick: bool) -> None:
    network = make(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).eval()
    with quick_convolutions(network) if quick else nullcontext():
        fewer = folded(network)
    assert not norms(fewer)
    torch.testing.assert_close(fewer(batch()), network(batch()), rtol=1e-12, atol=1e-12)


class Doubling(nn.BatchNorm2d):
    def forward(self, images: Tensor) -> Tensor:
        return 2 * super().forward(images)


class Halving(nn.Conv2d):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).abs() / 2


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.Conv2d(3, 3, 3), nn.ReLU(), nn.BatchNorm2d(3)],
        lambda: [nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3)],
        lambda: [nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)],
        lambda: [nn.Conv2d(3, 3, 3), Doubling(3)],
        lambda: [Halving(3, 3, 3), nn.BatchNorm2d(3)],
    ],
    ids=["relu-between", "norm-first", "no-statistics", "another-norm", "another-convolution"],
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


class Sly(nn.Module):
    """Uses a convolution without the BatchNorm that follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False))
        self.layers[1].running_mean.fill_(2)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers[0](images)
        return features.flatten(1)


class Alone(nn.Module):
    """Cannot be copied."""

    def __deepcopy__(self, memo: object) -> "Alone":
        raise TypeError("there is one only")

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class Noisy(nn.Module):
    """Answers differently each time."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) + torch.rand(len(images), 1).to(images)


class Lifted(Sly):
    """The same, by a twentieth of its logits' spread, with the size of all logits in their bias."""

    def forward(self, images: Tensor) -> Tensor:
        return 1e4 + 40 * images.flatten(1) + super().forward(images)[:, :1]


class Viewing(nn.Sequential):
    """Flattens with view(), which takes one layout of memory only."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = super().forward(images)
        return features.view(len(images), -1)


@pytest.mark.parametrize("kind", [Sly, Alone, Noisy, Lifted, Viewing])
def test_a_model_whose_copy_would_be_another_comes_back_itself(kind: type[nn.Module]) -> None:
    model = kind().double().eval()
    with preserved_random_state():
        assert fast_copy(model, check_on=batch()) is model
