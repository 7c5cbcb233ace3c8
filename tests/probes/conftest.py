"""Images of three kinds that a random encoder tells apart, and the encoder."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from batches import Small

from robench.contracts import Data, Encoder, Split
from robench.tensors.modes import preserved_random_state


@pytest.fixture
def encoder() -> Iterator[Encoder]:
    with preserved_random_state():
        torch.manual_seed(0)
        yield Small().eval()


def part(count: int, seed: int) -> Split:
    """Noise around one colour for each of three classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    colours = np.array([[150, 110, 110], [110, 150, 110], [110, 110, 150]])
    images = colours[labels][:, :, None, None] + rng.normal(0, 60, (count, 3, 6, 6))
    return Split(images.clip(0, 255).astype(np.uint8), labels)


@pytest.fixture
def data() -> Data:
    return Data(part(90, 1), part(31, 2), part(60, 3), ("red", "green", "blue"))
