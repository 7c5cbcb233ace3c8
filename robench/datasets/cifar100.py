"""CIFAR-100: 60,000 photographs of 32×32 pixels in 100 (fine) classes (Krizhevsky 2009)."""

from dataclasses import dataclass
from pathlib import Path

from robench.contracts import Data, Dataset, Progress
from robench.data.cifar import CIFAR100, load


@dataclass(frozen=True)
class Cifar100(Dataset):
    """CIFAR-100, fine labels, from the published files or Hugging Face's Parquet."""

    def load(self, root: Path, progress: Progress) -> Data:
        return load(CIFAR100, root, progress)
