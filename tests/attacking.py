"""Tiny models and images that the attacks settle quickly, and one call of an attack."""

import torch
from torch import Generator, Tensor, nn

from robench.contracts import NO_CHECKPOINTS, Attack, Attacked, Checkpoints, Run, Target
from robench.engine.progress import silent
from robench.tensors.modes import preserved_random_state


def grey_images() -> Tensor:
    """Six nearly grey images: a flimsy model's classes lie within 8/255 of them."""
    noise = torch.randn(6, 3, 8, 8, generator=Generator().manual_seed(1))
    return (0.5 + 0.02 * noise).clamp(0, 1)


def flimsy(classes: int = 10) -> nn.Sequential:
    """A linear model, blind to overall brightness, which every attack fools."""
    with preserved_random_state():
        torch.manual_seed(2)
        last = nn.Linear(3 * 8 * 8, classes, bias=False)
    with torch.no_grad():
        last.weight -= last.weight.mean(1, keepdim=True)
    return nn.Sequential(nn.Flatten(), last).eval()


def curved(classes: int = 10) -> nn.Sequential:
    """A small convolutional model, which some images survive."""
    with preserved_random_state():
        torch.manual_seed(3)
        convolved = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh())
        return nn.Sequential(*convolved, nn.Flatten(), nn.Linear(6 * 6 * 6, classes)).eval()


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """The predicted labels."""
    with torch.no_grad():
        return model(images).argmax(1)


def call(
    attack: Attack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int = 4,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Attacked:
    """What the attack returns with a generator of that seed."""
    with torch.no_grad():
        classes = model(images[:1]).shape[1]
    target = Target(model, classes, encoder=model, surrogate=model)
    run = Run(silent, checkpoints)
    return attack(target, images, labels, Generator().manual_seed(seed), run)
