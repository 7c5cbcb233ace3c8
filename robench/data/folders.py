"""Image folders: one folder a class, with or without a ``train`` and a ``test`` folder above."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from robench.contracts import Data, DataError, Progress, Split
from robench.data.checks import check_total, unreadable
from robench.data.decode import decode, fitted, stack
from robench.data.splits import by_content, hold_out, in_three, take

TEST = 5  # one image in five, where the folder has no test part
_MOST_BYTES = 64 * 2**20  # one image file


@dataclass(frozen=True)
class Listing:
    """The image files of each class in one folder."""

    folder: Path
    classes: dict[str, tuple[Path, ...]]

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for files in self.classes.values() for file in files)


@dataclass(frozen=True)
class ImageFolder:
    """What an image folder holds, before a file is opened.

    Without ``test``, a fixed fifth of ``train`` is the test part; without ``val``, a fixed tenth of
    the rest is held out.
    """

    train: Listing
    test: Listing | None = None
    val: Listing | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(f for part in (self.train, self.test, self.val) if part for f in part.files)

    def read(self, size: int, progress: Progress) -> Data:
        """The images, their shorter side scaled to ``size`` and the centre square kept.

        Raises DataError for a file that is no image, and names it.
        """
        names = tuple(self.train.classes)
        check_total(len(self.files), size, size, str(self.train.folder))
        train = _read(self.train, names, size, progress)
        if self.test is None:
            train = by_content(train)
            kept, tested = hold_out(train.labels, TEST)
            if len(tested) == 0:
                raise DataError(
                    f"{self.train.folder}: no class has two images, so there are none to test on"
                )
            return in_three(take(train, kept), take(train, tested), names)
        test = _read(self.test, names, size, progress)
        val = _read(self.val, names, size, progress) if self.val else None
        return in_three(train, test, names, held_out=val)


def scan(folder: Path) -> ImageFolder:
    """List the image folder; classes are in the order of their names.

    Raises DataError where it has no class with images, only one of ``train`` and ``test``, or a
    class in ``test`` that ``train`` lacks.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected train/CLASS/IMAGE and test/CLASS/IMAGE")
    train, test, val = (folder / part for part in ("train", "test", "val"))
    if not train.is_dir() and not test.is_dir():
        return ImageFolder(_list(folder))
    for part in (train, test):
        if not part.is_dir():
            raise DataError(f"{folder} has no folder {part.name}/; expected train/ and test/")
    listings = [_list(part) for part in (train, test, val) if part.is_dir()]
    for other in listings[1:]:
        for name in other.classes:
            if name not in listings[0].classes:
                raise DataError(f"{other.folder / name} is a class that {train} does not have")
    return ImageFolder(*listings)


def _list(folder: Path) -> Listing:
    classes: dict[str, tuple[Path, ...]] = {}
    for inside in _visible(folder):
        if not inside.is_dir():
            raise DataError(f"{inside} is no folder; expected one folder a class in {folder}")
        files = _visible(inside)
        for file in files:
            if not file.is_file():
                raise DataError(f"{file} is no image; images belong directly in {inside}")
        if not files:
            raise DataError(f"{inside} has no images; add some or remove it")
        classes[inside.name] = tuple(files)
    if len(classes) < 2:
        raise DataError(f"{folder} has {len(classes)} class folders, expected at least two")
    return Listing(folder, classes)


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise unreadable(folder, error) from None


def _read(listing: Listing, names: tuple[str, ...], size: int, progress: Progress) -> Split:
    files = listing.files
    labels = [names.index(name) for name, inside in listing.classes.items() for _ in inside]

    def load(row: int) -> Image.Image:
        path = files[row]
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise DataError(
                    f"{path} is larger than {_MOST_BYTES // 2**20} MiB; make it smaller"
                )
            encoded = path.read_bytes()
        except OSError as error:
            raise unreadable(path, error) from None
        return fitted(decode(encoded, str(path)), size)

    images = stack(load, len(files), size, progress, f"Decoding {listing.folder.name}")
    return Split(images, np.array(labels, dtype=np.int64))
