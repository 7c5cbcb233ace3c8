"""Any folder of images with one folder a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from robench.contracts import Data, DataError, Dataset, Progress, Split
from robench.data.checks import existing, unreadable
from robench.data.decode import decode, stack
from robench.data.splits import by_content, hold_out, in_three, take
from robench.files import read_limited

TEST = 5  # one image in five, where the folder has no test part
_MOST_BYTES = 2**30  # of an encoded image

Listing = dict[str, list[Path]]
"""The image files of each class."""


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
        parts = _scan(existing(self.path, root))
        return [file for part in parts.values() for inside in part.values() for file in inside]

    def load(self, root: Path, progress: Progress) -> Data:
        return _decoded(_scan(existing(self.path, root)), self.size, progress)


def _scan(folder: Path) -> dict[str, Listing]:
    """List the parts "train", "test" and "val", or only "train", with classes in order of name.

    Raises DataError for fewer than two classes, for only one of ``train`` and ``test``, and for a
    class that ``train`` lacks.
    """
    names = [name for name in ("train", "test", "val") if (folder / name).is_dir()]
    missing = {"train", "test"} - set(names)
    if len(missing) == 1:
        raise DataError(f"{folder} has no folder {missing.pop()}/; expected train/ and test/")
    parts = {"train": _list(folder)} if missing else {name: _list(folder / name) for name in names}
    for part, listing in parts.items():
        for name in listing.keys() - parts["train"].keys():
            raise DataError(f"{folder / part / name} is a class that train/ does not have")
    if len(parts["train"]) < 2:
        raise DataError(f"{folder} has {len(parts['train'])} classes, expected at least two")
    return parts


def _decoded(parts: dict[str, Listing], size: int, progress: Progress) -> Data:
    """Read the images, their shorter side scaled to ``size`` and the centre square kept.

    Without "test", a fixed fifth of "train" is the test part; without "val", a fixed tenth of the
    rest is held out. Raises DataError for a file that is not an image, with its name.
    """
    # By the classes of train: one that is missing in test or val shifts no label.
    numbers = {name: number for number, name in enumerate(parts["train"])}
    splits = {part: _read(parts[part], numbers, size, progress, part) for part in parts}
    train, test = splits["train"], splits.get("test")
    if test is None:
        train = by_content(train)
        kept, tested = hold_out(train.labels, TEST)
        if len(tested) == 0:
            raise DataError("no class has two images, so there are none to test on; add some")
        train, test = take(train, kept), take(train, tested)
    return in_three(train, test, tuple(numbers), held_out=splits.get("val"))


def _list(folder: Path) -> Listing:
    classes: Listing = {}
    for inside in _visible(folder):
        classes[inside.name] = _visible(inside)
        if not classes[inside.name]:
            raise DataError(f"{inside} has no images; add some or remove it")
    return classes


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(
            f"{unreadable(folder, error)}; expected folders of images, one folder a class"
        ) from None


def _read(
    listing: Listing, numbers: dict[str, int], size: int, progress: Progress, part: str
) -> Split:
    rows = [(numbers[name], file) for name, files in listing.items() for file in files]

    def load(row: int) -> Image.Image:
        _, path = rows[row]
        try:
            image = decode(read_limited(path, _MOST_BYTES), str(path))
            return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
        except OSError as error:
            raise unreadable(path, error) from None

    images = stack(load, len(rows), size, progress, f"Decoding {part}")
    return Split(images, np.array([number for number, _ in rows], dtype=np.int64))
