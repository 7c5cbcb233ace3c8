"""What components are tried on: small images, a small classifier, and checkpoints in memory."""

import random
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from robench.contracts import (
    Accept,
    Checkpoints,
    Data,
    Encoder,
    Progress,
    Run,
    Split,
    State,
    any_state,
)
from robench.engine.faults import ContractError
from robench.engine.progress import silent
from robench.trust import flags

CLASSES = ("red", "green", "blue")
GLOBAL_STATES: Mapping[str, Callable[[], Any]] = {
    "torch's global random state": lambda: torch.get_rng_state().tolist(),
    "NumPy's global random state": lambda: repr(np.random.get_state()),  # noqa: NPY002
    "Python's global random state": random.getstate,
}
NOTED = {
    flags.OUTPUTS_CHANGE: "gives something else for the same images with each call in eval mode",
    flags.BATCH_MATTERS: "gives something else in eval mode for an image among other images",
}
"""Notes of `robench.engine.evidence.determinism` in words."""


class Kept(Checkpoints):
    """Keeps every state that could be saved; the work begins at ``begin``, if there is one."""

    def __init__(self, begin: State | None = None) -> None:
        self.states, self.begin = list[State](), begin

    def load(self, accept: Accept = any_state) -> State | None:
        if self.begin is not None:
            accept(self.begin)
        return self.begin

    def save_if_due(self, state: Callable[[], State]) -> None:
        made = state()
        copies = {name: tensor.detach().clone() for name, tensor in made.tensors.items()}
        self.states.append(State(copies, dict(made.values)))


def run(checkpoints: Checkpoints | None = None, progress: Progress = silent) -> Run:
    """A run on the CPU that shows nothing."""
    return Run(progress, checkpoints or Checkpoints())


def generator(seed: int = 0) -> Generator:
    """A generator on the CPU."""
    return Generator().manual_seed(seed)


@cache
def data() -> Data:
    """Images of 16 by 16 pixels in three colours that nothing confuses."""
    return Data(_colours(60, 1), _colours(15, 2), _colours(24, 3), CLASSES)


def _colours(count: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    colours = 60 + 120 * np.eye(len(CLASSES))[labels]
    images = colours[:, :, None, None] + rng.normal(0, 20, (count, 3, 16, 16))
    return Split(images.clip(0, 255).astype(np.uint8), labels)


class Small(Encoder):
    """One convolution with BatchNorm, averaged over quarters of the image."""

    width = 32

    def __init__(self) -> None:
        super().__init__()
        convolution = nn.Conv2d(3, 8, 3, padding=1)
        pool = nn.AdaptiveAvgPool2d(2), nn.Flatten()
        self.layers = nn.Sequential(convolution, nn.BatchNorm2d(8), nn.Tanh(), *pool)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


def classifier(seed: int = 0) -> nn.Sequential:
    """A random classifier in eval mode, its parts named as those of a fitted one.

    Plain grey is on the border of all its classes, so that nearly grey images are easily attacked.
    """
    torch.manual_seed(seed)
    encoder, linear = Small().eval(), nn.Linear(Small.width, 10)
    with torch.no_grad():
        linear.weight *= 3000  # so that logits are not all but equal
        linear.bias.copy_(-linear.weight @ encoder(torch.full((1, 3, 16, 16), 0.5))[0])
    return nn.Sequential(OrderedDict[str, nn.Module](encoder=encoder, linear=linear)).eval()


@contextmanager
def without_global_draws(fault: Callable[[str], str]) -> Iterator[None]:
    """Raise ContractError with ``fault(name)`` where the block draws from a global state."""
    before = {name: read() for name, read in GLOBAL_STATES.items()}
    yield
    for name, read in GLOBAL_STATES.items():
        if read() != before[name]:
            raise ContractError(fault(name))


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether both have the same names, and equal tensors under them."""
    return first.keys() == second.keys() and all(
        torch.equal(tensor, second[name]) for name, tensor in first.items()
    )
