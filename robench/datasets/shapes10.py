"""Ten kinds of drawn objects: a small set that needs no download."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.contracts import Data, Dataset, Progress
from robench.data import shapes

# Outline i in material i: the pairs that shapes100 leaves out, so that the two share no class.
KINDS = list(map(shapes.Kind, shapes.MATERIALS, shapes.OUTLINES))


@dataclass(frozen=True)
class Shapes10(Dataset):
    """6,000 pictures of ``size`` by ``size`` pixels in 10 classes, always the same: no files."""

    size: int = 16

    def __post_init__(self) -> None:
        shapes.check_size(self.size)

    def files(self, root: Path) -> Sequence[Path]:
        return ()

    def load(self, root: Path, progress: Progress) -> Data:
        return shapes.make(KINDS, self.size, 10, train=4500, held_out=500, test=1000)
