"""Image folders: one folder a class, with or without a ``train`` and a ``test`` folder above."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from robench.contracts import Data, DataError, Progress, Split
from robench.data.checks import unreadable
from robench.data.decode import decode, fitted, stack
from robench.data.splits import by_content, hold_out, in_three, take
from robench.files import read_limited

TEST = 5  # one image in five, where the folder has no test part
_MOST_BYTES = 64 * 2**20  # of one image file

Listing = dict[str, list[Path]]
"""The image files of each class."""


@dataclass(frozen=True)
class ImageFolder:
    """The files in an image folder, before one is opened.

    Without ``test``, a fixed fifth of ``train`` is the test part; without ``val``, a fixed tenth of
    the rest is held out.
    """

    train: Listing
    test: Listing | None = None
    val: Listing | None = None

    @property
    def files(self) -> list[Path]:
        parts = (self.train, self.test or {}, self.val or {})
        return [file for part in parts for files in part.values() for file in files]

    def read(self, size: int, progress: Progress) -> Data:
        """Read the images, their shorter side scaled to ``size`` and the centre square kept.

        Raises DataError for a file that is not an image, with its name.
        """
        # A class keeps its number where it is missing in test or val.
        numbers = {name: number for number, name in enumerate(self.train)}
        train = _read(self.train, numbers, size, progress, "train")
        if self.test is None:
            train = by_content(train)
            kept, tested = hold_out(train.labels, TEST)
            if len(tested) == 0:
                raise DataError("no class has two images, so there are none to test on; add some")
            return in_three(take(train, kept), take(train, tested), tuple(numbers))
        test = _read(self.test, numbers, size, progress, "test")
        val = _read(self.val, numbers, size, progress, "val") if self.val else None
        return in_three(train, test, tuple(numbers), held_out=val)


def scan(folder: Path) -> ImageFolder:
    """List the image folder; classes are in the order of their names.

    Raises DataError for fewer than two classes, for only one of ``train`` and ``test``, and for a
    class that ``train`` lacks.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; expected a folder with train/CLASS/IMAGE")
    train, test, val = (folder / part for part in ("train", "test", "val"))
    if not train.is_dir() and not test.is_dir():
        return ImageFolder(_list(folder))
    for part in (train, test):
        if not part.is_dir():
            raise DataError(f"{folder} has no folder {part.name}/; expected train/ and test/")
    listed = {p: _list(p, 2 if p == train else 1) for p in (train, test, val) if p.is_dir()}
    for part, listing in listed.items():
        for name in sorted(listing.keys() - listed[train].keys()):
            raise DataError(f"{part / name} is a class that {train} does not have")
    return ImageFolder(*listed.values())


def _list(folder: Path, least: int = 2) -> Listing:
    classes: Listing = {}
    for inside in _visible(folder):
        if not inside.is_dir():
            raise DataError(f"{inside} is a file; expected one folder a class in {folder}")
        classes[inside.name] = _visible(inside)
        for file in classes[inside.name]:
            if not file.is_file():
                raise DataError(f"{file} is not an image; images belong directly in {inside}")
        if not classes[inside.name]:
            raise DataError(f"{inside} has no images; add some or remove it")
    if len(classes) < least:
        raise DataError(f"{folder} has {len(classes)} class folders, expected at least {least}")
    return classes


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise unreadable(folder, error) from None


def _read(
    listing: Listing, numbers: dict[str, int], size: int, progress: Progress, part: str
) -> Split:
    files = [file for inside in listing.values() for file in inside]
    labels = [numbers[name] for name, inside in listing.items() for _ in inside]

    def load(row: int) -> Image.Image:
        try:
            encoded = read_limited(files[row], _MOST_BYTES)
        except OSError as error:
            raise unreadable(files[row], error) from None
        return fitted(decode(encoded, str(files[row])), size)

    images = stack(load, len(files), size, progress, f"Decoding {part}")
    return Split(images, np.array(labels, dtype=np.int64))
