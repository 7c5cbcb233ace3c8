"""An honest small model, and twins of it with one fault each."""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robench.contracts import Split
from robench.tensors.modes import preserved_random_state


@cache
def corners(n: int = 120) -> Split:
    """Noise with one of four corners brighter, by so much that a small network finds it."""
    rng = np.random.default_rng(3)
    images = rng.integers(60, 160, (n, 3, 8, 8))
    labels = np.arange(n, dtype=np.int64) % 4
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[:, row : row + 4, column : column + 4] += 25
    return Split(images.astype(np.uint8), labels)


def honest() -> nn.Sequential:
    """A small convolutional network with BatchNorm, trained on `corners`."""
    model = _network()
    model.load_state_dict(_trained())
    return model.eval()


def _network() -> nn.Sequential:
    with preserved_random_state():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AvgPool2d(4),
            nn.Flatten(),
            nn.Linear(32, 4),
        )


@cache
def _trained() -> dict[str, Tensor]:
    model, split = _network(), corners()
    images, labels = torch.tensor(split.images) / 255, torch.tensor(split.labels)
    descent = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(30):
        descent.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        descent.step()
    return model.state_dict()


class Scaled(nn.Module):
    """Gives its logits times ``scale``."""

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images) * self.scale
        return logits


class Quantised(nn.Module):
    """Rounds the pixels to a few levels first, through which no gradient comes back."""

    def __init__(self, model: nn.Module, levels: int = 8) -> None:
        super().__init__()
        self.model, self.levels = model, levels

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model((images * self.levels).round() / self.levels)
        return logits


class Noisy(nn.Module):
    """Adds noise to the pixels, other noise with each call."""

    def __init__(self, model: nn.Module, sigma: float = 0.05) -> None:
        super().__init__()
        self.model, self.sigma = model, sigma

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images + self.sigma * torch.randn_like(images))
        return logits


class Stubborn(nn.BatchNorm2d):
    """A BatchNorm that stays in train mode, whatever it is told."""

    def train(self, mode: bool = True) -> "Stubborn":
        super().train(True)
        return self


class Batchwise(nn.BatchNorm2d):
    """A BatchNorm that uses its batch's statistics with no train flag to show for it."""

    def forward(self, images: Tensor) -> Tensor:
        return F.batch_norm(images, None, None, self.weight, self.bias, training=True)


def with_norm(kind: type[nn.BatchNorm2d]) -> nn.Sequential:
    """The honest model with another kind of BatchNorm of the same weights."""
    model = honest()
    other = kind(8)
    other.load_state_dict(model[1].state_dict())
    model[1] = other
    return model.eval()
