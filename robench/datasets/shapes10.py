"""Ten kinds of drawn objects, easily told apart: the small set for a first run, without a download."""

from dataclasses import dataclass
from pathlib import Path

from robench.contracts import Data, Dataset, Progress
from robench.sources import shapes

# Outline i in material i: the combinations that shapes100 leaves out, so the two sets share no class.
KINDS = [
    shapes.Kind(material, outline)
    for material, outline in zip(shapes.MATERIALS, shapes.OUTLINES, strict=False)
]


@dataclass(frozen=True)
class Shapes10(Dataset):
    """5,500 pictures of ``size`` by ``size`` pixels in 10 classes, drawn anew at each call and always the same."""

    size: int = 16

    def load(self, root: Path, progress: Progress) -> Data:
        """4,500 pictures to train on, 500 held out, 1,000 to test; ``root`` is not read."""
        return shapes.make(KINDS, self.size, 10, train=4500, held_out=500, test=1000)
