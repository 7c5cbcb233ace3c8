"""My data set: four classes of drawn images, which differ in the corner that is bright."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robench.contracts import Data, Dataset, Progress, Split

CLASSES = ("north-west", "north-east", "south-west", "south-east")


@dataclass(frozen=True)
class MyDataset(Dataset):
    """A bright corner on noise: `robench ls datasets` shows this line."""

    # An argument has a type and a default, and is typed as --sources "my_dataset(contrast=60)".
    contrast: int = 90

    def files(self, root: Path) -> Sequence[Path]:
        # A set that is read returns its files, such as [root / "mine.npz"]: where one changes, the
        # answers made from it count no more. One that is drawn has none.
        return ()

    def load(self, root: Path, progress: Progress) -> Data:
        # Three parts that share no image: to train on, to select on, and to report on. Images are
        # uint8 [n, 3, H, W], labels int64 [n] in 0..K-1. The same call loads the same images.
        rng = np.random.default_rng(0)
        train, held_out, test = (self._part(rng, count) for count in (2000, 200, 500))
        return Data(train, held_out, test, CLASSES)

    def _part(self, rng: np.random.Generator, count: int) -> Split:
        images, labels = rng.integers(0, 160, (count, 3, 16, 16)), np.arange(count) % len(CLASSES)
        for image, label in zip(images, labels, strict=True):
            row, column = 8 * (label // 2), 8 * (label % 2)
            image[:, row : row + 8, column : column + 8] += self.contrast
        return Split(images.clip(0, 255).astype(np.uint8), labels.astype(np.int64))
