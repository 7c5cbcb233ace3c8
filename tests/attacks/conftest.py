"""Tiny models and images that the attacks settle quickly."""

from collections.abc import Callable, Iterator

import pytest
import torch
from pyautoattack.square import SquareAttack
from torch import Generator, Tensor, nn

from robench.tensors.modes import preserved_random_state

Build = Callable[[int], nn.Module]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On tensors this small threads mostly wait for each other; on a busy machine, for long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def images() -> Tensor:
    """Six nearly grey images: a flimsy model's classes lie within 8/255 of them."""
    noise = torch.randn(6, 3, 8, 8, generator=Generator().manual_seed(1))
    return (0.5 + 0.02 * noise).clamp(0, 1)


@pytest.fixture
def flimsy() -> Build:
    """A linear model of so many classes, blind to overall brightness, which every attack fools."""

    def build(classes: int) -> nn.Module:
        with preserved_random_state():
            torch.manual_seed(2)
            last = nn.Linear(3 * 8 * 8, classes, bias=False)
        with torch.no_grad():
            last.weight -= last.weight.mean(1, keepdim=True)
        return nn.Sequential(nn.Flatten(), last).eval()

    return build


@pytest.fixture
def curved() -> Build:
    """A small convolutional model of so many classes, which some images survive."""

    def build(classes: int) -> nn.Module:
        with preserved_random_state():
            torch.manual_seed(3)
            return nn.Sequential(
                nn.Conv2d(3, 6, 3),
                nn.BatchNorm2d(6),
                nn.Tanh(),
                nn.Flatten(),
                nn.Linear(6 * 6 * 6, classes),
            ).eval()

    return build


@pytest.fixture
def without_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the 5,000 queries for each survivor, where a test is about the attacks before them."""
    monkeypatch.setattr(SquareAttack, "perturb", lambda self, x, y: x.clone())


@pytest.fixture
def predict() -> Callable[[nn.Module, Tensor], Tensor]:
    """The predicted labels."""

    def predict(model: nn.Module, images: Tensor) -> Tensor:
        with torch.no_grad():
            labels: Tensor = model(images).argmax(1)
        return labels

    return predict
