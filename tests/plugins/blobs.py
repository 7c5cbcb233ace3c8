"""Four classes of 8 by 8 pixels that differ in the corner that is bright."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robench.contracts import Data, Dataset, Progress, Split

CLASSES = ("north-west", "north-east", "south-west", "south-east")


@dataclass(frozen=True)
class Blobs(Dataset):
    """A bright corner on noise, ``contrast`` of 255 brighter than the rest."""

    contrast: int = 90

    def files(self, root: Path) -> tuple[Path, ...]:
        return ()

    def load(self, root: Path, progress: Progress) -> Data:
        rng = np.random.Generator(np.random.PCG64(7))
        return Data(self._split(rng, 192), self._split(rng, 64), self._split(rng, 48), CLASSES)

    def _split(self, rng: np.random.Generator, n: int) -> Split:
        images = rng.integers(0, 120, (n, 3, 8, 8))
        labels = np.arange(n) % len(CLASSES)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 2)
            image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += self.contrast
        return Split(images.astype(np.uint8), labels.astype(np.int64))
