"""CIFAR itself, where this machine has it."""

import os
from pathlib import Path

import numpy as np
import pytest

from robench.contracts import DataError, Split
from robench.data import parquet
from robench.data.cifar import CIFARS, Cifar, locate, read
from robench.engine.progress import silent

ROOT = Path(os.environ.get("ROBENCH_DATA") or Path(__file__).parents[3] / "shared" / "data")

# Channel means in [0, 1] that CIFAR recipes normalise by.
MEAN = {"cifar10": (0.491, 0.482, 0.447), "cifar100": (0.507, 0.487, 0.441)}


def images_of(cifar: Cifar) -> Split:
    """The test part as it lies in ROOT, without a cache; train would take too long to decode."""
    try:
        found = locate(cifar, ROOT)
    except DataError as error:
        pytest.skip(f"set ROBENCH_DATA to a folder with {cifar.name} ({error})")
    if found[0].suffix != ".parquet":
        return read(cifar, found, silent)[1]
    (path,) = (path for path in found if path.name.startswith("test"))
    return parquet.read(path, cifar.column, len(cifar.classes), silent, "Decoding")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_real_images_are_balanced_and_have_the_known_mean(name: str) -> None:
    cifar = CIFARS[name]
    split = images_of(cifar)
    counts = np.bincount(split.labels, minlength=len(cifar.classes))
    assert split.images.shape == (len(split), 3, 32, 32)
    assert counts.min() == counts.max() > 0
    assert np.allclose(split.images.mean((0, 2, 3)) / 255, MEAN[name], atol=0.015)
