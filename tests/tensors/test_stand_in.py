"""A stand-in computes what the model does but for rounding, and leaves the model as it was."""

import pytest
import torch
from torch import Generator, Tensor, nn

from robench.encoders.resnet8 import ResNet8
from robench.encoders.resnet18 import ResNet18
from robench.encoders.resnet50 import ResNet50
from robench.tensors.batchnorm import BRANCHES, add_adversarial_branch, use_branch
from robench.tensors.features import fingerprint
from robench.tensors.modes import preserved_random_state
from robench.tensors.stand_in import stand_in


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 16, 16, dtype=torch.float64, generator=Generator().manual_seed(0))


def lived_in(build: type[nn.Module]) -> nn.Module:
    """An encoder whose BatchNorms have statistics and affine parameters of their own."""
    with preserved_random_state():
        torch.manual_seed(1)
        model = build(width=4)
        add_adversarial_branch(model, momentum=0.1)
        model.double().eval()
        for name, tensor in model.state_dict().items():
            if "running_var" in name or (name.endswith("weight") and tensor.dim() == 1):
                tensor.uniform_(0.5, 2)
            elif "running_mean" in name or name.endswith("bias"):
                tensor.normal_()
    return model


def value_and_gradient(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    pixels = images.clone().requires_grad_()
    outputs = model(pixels)
    (gradient,) = torch.autograd.grad(outputs.square().sum(), pixels)
    return outputs.detach(), gradient


def norms(model: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in model.modules())


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("build", [ResNet8, ResNet18, ResNet50])
def test_values_and_gradients_are_those_of_the_model(
    build: type[nn.Module], branch: str, images: Tensor
) -> None:
    model = lived_in(build)
    use_branch(model, branch)
    quick = stand_in(model, images)
    assert norms(quick) == 0 < norms(model)
    for found, expected in zip(
        value_and_gradient(quick, images), value_and_gradient(model, images), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * expected.abs().max())


def test_the_model_stays_as_it_was(images: Tensor) -> None:
    model = lived_in(ResNet8)
    before, layout = fingerprint(model), next(model.parameters()).stride()
    quick = stand_in(model, images)
    assert quick is not model
    assert fingerprint(model) == before
    assert next(model.parameters()).stride() == layout
    assert all(weights.requires_grad for weights in model.parameters())
    assert not any(weights.requires_grad for weights in quick.parameters())


def test_train_mode_is_not_copied(images: Tensor) -> None:
    model = lived_in(ResNet8)
    expected = model(images).detach()
    quick = stand_in(model, images)
    model.train()
    assert not any(part.training for part in quick.modules())
    torch.testing.assert_close(quick(images), expected)


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


@pytest.mark.parametrize("kind", [Sly, Alone, Noisy])
def test_a_model_whose_copy_would_be_another_comes_back_itself(
    kind: type[nn.Module], images: Tensor
) -> None:
    model = kind().double().eval()
    with preserved_random_state():
        assert stand_in(model, images) is model
