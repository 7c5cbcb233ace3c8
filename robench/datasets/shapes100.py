"""A hundred kinds of drawn objects: ten outlines, each in ten materials."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.contracts import Data, Dataset, Progress
from robench.data import shapes

# Every outline in every material but the one that shapes10 shows it in.
KINDS = [
    shapes.Kind(material, outline)
    for i, outline in enumerate(shapes.OUTLINES)
    for j, material in enumerate(shapes.MATERIALS)
    if i != j
]


@dataclass(frozen=True)
class Shapes100(Dataset):
    """12,000 pictures of ``size`` by ``size`` pixels, 100 classes, always the same: no files."""

    size: int = 16

    def __post_init__(self) -> None:
        shapes.check_size(self.size)

    def files(self, root: Path) -> Sequence[Path]:
        return ()

    def load(self, root: Path, progress: Progress) -> Data:
        return shapes.make(KINDS, self.size, 100, train=9000, held_out=1000, test=2000)
