"""CIFAR-10: 60,000 photographs of 32×32 pixels in 10 classes (Krizhevsky 2009)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.contracts import Data, Dataset, Progress
from robench.data import cifar


@dataclass(frozen=True)
class Cifar10(Dataset):
    """CIFAR-10, from the published files or Hugging Face's Parquet."""

    def files(self, root: Path) -> Sequence[Path]:
        return cifar.locate(cifar.CIFAR10, root)

    def load(self, root: Path, progress: Progress) -> Data:
        return cifar.load(cifar.CIFAR10, root, progress)
