"""Any ``.npz`` file with MedMNIST's keys (Yang et al. 2023, arXiv 2110.14795)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.contracts import Data, Dataset, Progress
from robench.data import npz
from robench.data.checks import existing


@dataclass(frozen=True)
class Npz(Dataset):
    """Images and labels from the file ``path``, its ``val`` part held out.

    A relative path is looked up from the current folder, then in the data folder.
    """

    path: str

    def files(self, root: Path) -> Sequence[Path]:
        return (existing(self.path, root),)

    def load(self, root: Path, progress: Progress) -> Data:
        return npz.read(existing(self.path, root))
