"""CIFAR-100: 60,000 photographs of 32×32 pixels in 100 (fine) classes (Krizhevsky 2009)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.contracts import Data, Dataset, Progress
from robench.data import cifar


@dataclass(frozen=True)
class Cifar100(Dataset):
    """CIFAR-100, fine labels, from the published files or Hugging Face's Parquet."""

    def files(self, root: Path) -> Sequence[Path]:
        return cifar.locate(cifar.CIFAR100, root)

    def load(self, root: Path, progress: Progress) -> Data:
        return cifar.load(cifar.CIFAR100, root, progress)
