"""Images whose class can be seen, with a known number of wrong labels and of weak images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robench.contracts import Data, Dataset, Progress, Split

CLASSES = ("north-west", "north-east", "south-west", "south-east")


@dataclass(frozen=True)
class Known(Dataset):
    """Four by four pixels with one bright quarter, which is the class.

    Of the ``test`` images, ``wrong`` have the label of another class, and ``weak`` others, rightly
    labelled, have a first pixel with no blue, which the attack `swap` looks for.
    """

    test: int = 600
    wrong: int = 75
    weak: int = 48

    def files(self, root: Path) -> tuple[Path, ...]:
        return ()

    def load(self, root: Path, progress: Progress) -> Data:
        images, labels = _quarters(self.test)
        order = np.random.Generator(np.random.PCG64(self.test)).permutation(self.test)
        wrong, weak = order[: self.wrong], order[self.wrong : self.wrong + self.weak]
        labels[wrong] = (labels[wrong] + 1) % len(CLASSES)
        images[weak, 2, 0, 0] = 0
        return Data(Split(*_quarters(192)), Split(*_quarters(64)), Split(images, labels), CLASSES)


def _quarters(n: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % len(CLASSES)
    images = np.full((n, 3, 4, 4), 50, np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 150
    return images, labels.astype(np.int64)
