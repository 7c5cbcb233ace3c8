"""Any folder of images with one folder a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.contracts import Data, Dataset, Progress
from robench.data.checks import existing
from robench.data.folder import read, scan


@dataclass(frozen=True)
class Folder(Dataset):
    """Images from ``path``/train/CLASS/ and ``path``/test/CLASS/, or from ``path``/CLASS/.

    Without ``test`` a fixed fifth is the test part; a ``val`` folder is the held-out part. The
    shorter side is scaled to ``size`` pixels (8 to 512) and the centre square kept. A relative path
    is looked up from the current folder, then in the data folder.
    """

    path: str
    size: int = 32

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 512:
            raise ValueError(f"folder: size={self.size} is out of range, expected 8 to 512 pixels")

    def files(self, root: Path) -> Sequence[Path]:
        parts = scan(existing(self.path, root))
        return [file for part in parts.values() for inside in part.values() for file in inside]

    def load(self, root: Path, progress: Progress) -> Data:
        return read(scan(existing(self.path, root)), self.size, progress)
