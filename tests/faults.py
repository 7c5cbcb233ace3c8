"""An honest small model, and twins of it with one fault each."""

from collections.abc import Callable
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
    model = network()
    model.load_state_dict(_honest_weights())
    return model.eval()


@cache
def _honest_weights() -> dict[str, Tensor]:
    return trained(network).state_dict()


def network(activation: nn.Module | None = None) -> nn.Sequential:
    """The network before it is trained."""
    with preserved_random_state():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            activation or nn.ReLU(),
            nn.AvgPool2d(4),
            nn.Flatten(),
            nn.Linear(32, 4),
        )


def trained(make: Callable[[], nn.Module]) -> nn.Module:
    """A network, trained on `corners`."""
    model, split = make(), corners()
    images, labels = torch.tensor(split.images) / 255, torch.tensor(split.labels)
    descent = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(30):
        descent.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        descent.step()
    return model.eval()


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


# --- gradients that lead nowhere


class Shattered(nn.Module):
    """Adds a fine wave to the pixels: almost the same images, and gradients of any sign."""

    def __init__(self, model: nn.Module, height: float = 0.01, frequency: float = 2000) -> None:
        super().__init__()
        self.model, self.height, self.frequency = model, height, frequency

    def forward(self, images: Tensor) -> Tensor:
        wave = self.height * torch.sin(self.frequency * images)
        logits: Tensor = self.model(images + wave)
        return logits


class Sloped(nn.Module):
    """Adds a tiny slope of the pixels to each logit, so that there is always a gradient."""

    def __init__(self, model: nn.Module, slope: float = 1e-3) -> None:
        super().__init__()
        self.model, self.slope = model, slope

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        places = torch.arange(images[0].numel(), device=images.device)
        waves = torch.cos(places[:, None] * (1 + torch.arange(logits.shape[1])).to(images.device))
        return logits + self.slope * images.flatten(1) @ waves


class Jpeg(nn.Module):
    """Rounds the cosine transform of blocks of 8 by 8 pixels, as JPEG does."""

    def __init__(self, model: nn.Module, quality: float = 0.1) -> None:
        super().__init__()
        self.model, self.quality = model, quality
        rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
        cosines = torch.cos(torch.pi * rows * (2 * columns + 1) / 16) / 2
        cosines[0] /= 2**0.5
        self.register_buffer("cosines", cosines)

    def forward(self, images: Tensor) -> Tensor:
        blocks = images.unfold(2, 8, 8).unfold(3, 8, 8)
        rounded = (self.cosines @ blocks @ self.cosines.T / self.quality).round() * self.quality
        blocks = self.cosines.T @ rounded @ self.cosines
        logits: Tensor = self.model(blocks.transpose(3, 4).reshape(images.shape))
        return logits


class Hard(nn.Module):
    """Answers with the predicted class and nothing else."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(images)
        return F.one_hot(logits.argmax(1), logits.shape[1]).to(logits)


class Root(nn.Module):
    """A layer that changes nothing, and whose gradient, that of a root at 0, is not a number."""

    def forward(self, features: Tensor) -> Tensor:
        return features + 0 * (features - features).abs().sqrt()


class Detector(nn.Module):
    """Answers with a constant for images with pixels that are no multiples of 1/255."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        levels = 255 * images
        odd = ((levels - levels.round()).abs() > 1e-2).flatten(1).any(1)
        logits = self.model(images)
        constant = torch.zeros_like(logits)
        constant[:, 0] = 1
        return torch.where(odd[:, None], constant, logits)


class WinnersTakeAll(nn.Module):
    """Keeps the largest activations of each image and drops the rest (arXiv 1905.10510)."""

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        self.share = share

    def forward(self, features: Tensor) -> Tensor:
        flat = features.flatten(1)
        kept = flat.topk(max(1, round(self.share * flat.shape[1])), dim=1).values[:, -1:]
        return (flat * (flat >= kept)).view_as(features)


class Twice(nn.Module):
    """Normalises the pixels, clamps them to [0, 1], and normalises them again."""

    def __init__(self, model: nn.Module, mean: float = 0.5, std: float = 0.25) -> None:
        super().__init__()
        self.model, self.mean, self.std = model, mean, std

    def forward(self, images: Tensor) -> Tensor:
        for _ in range(2):
            images = ((images - self.mean) / self.std).clamp(0, 1)
        logits: Tensor = self.model(images)
        return logits


class Dropping(nn.Module):
    """Leaves its block out in one of ``1 / p`` calls."""

    def __init__(self, block: nn.Module, p: float = 0.1) -> None:
        super().__init__()
        self.block, self.p = block, p

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.block(features)
        return features if torch.rand(()) < self.p else changed
