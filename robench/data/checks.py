"""Checks of images, labels and files where they enter."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robench.contracts import Data, DataError, Split
from robench.files import check_size, first_line

_MOST_BYTES = 2**32  # of a published file


def check_labels(labels: npt.NDArray[Any], classes: int, where: str) -> npt.NDArray[np.int64]:
    """Return the labels as int64. Raises DataError unless they are whole numbers in 0..K-1."""
    if labels.dtype.kind not in "iu":
        raise DataError(f"{where}: labels are {labels.dtype}, expected whole numbers")
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(bad):
        raise DataError(
            f"{where}: label {labels[bad[0]]} in row {bad[0]} is out of range, "
            f"expected 0 to {classes - 1}"
        )
    return labels.astype(np.int64)


def check_data(data: Data, where: str) -> None:
    """Check a whole data set, whatever made it.

    Raises DataError unless each part has uint8 images of one size with a label each, and the
    training part has images of every class, of which there are at least two.
    """
    kinds: dict[str, type] = {"classes": tuple}
    for name in ("train", "held_out", "test"):
        kinds |= {f"{name}.images": np.ndarray, f"{name}.labels": np.ndarray}
    for place, kind in kinds.items():
        found: object = data
        for attribute in place.split("."):
            found = getattr(found, attribute, None)
        if not isinstance(found, kind):
            raise DataError(
                f"{where}: {place} is a {type(found).__name__}, expected a {kind.__name__}; a data "
                "set's load() returns Data of three Splits and a tuple of class names"
            )
    size = data.train.images.shape[1:]
    for name in ("train", "held_out", "test"):
        split: Split = getattr(data, name)
        images, part = split.images, f"{where}, {name}"
        found = f"{part}: images are {images.dtype} {list(images.shape)}"
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise DataError(f"{found}, expected uint8 pixels in 0 to 255, [n, 3, H, W]")
        if images.shape[1:] != size:
            raise DataError(f"{found}, the training images {list(size)}")
        if len(images) == 0:
            raise DataError(f"{part}: no images in it, expected at least one")
        if split.labels.shape != (len(images),):
            labels = "×".join(map(str, split.labels.shape))
            raise DataError(f"{part}: {len(images)} images but {labels} labels")
        check_labels(split.labels, len(data.classes), part)
    counts = np.bincount(data.train.labels, minlength=len(data.classes))
    if len(counts) < 2:
        raise DataError(f"{where}: one class, expected at least two")
    if counts.min() == 0:
        missing = int(counts.argmin())
        raise DataError(
            f"{where}: no training image of class {missing} ('{data.classes[missing]}'); expected "
            f"images of all {len(counts)} classes, numbered from 0 without gaps"
        )


def check_md5(path: Path, expected: str) -> None:
    """Raises DataError where the file has another MD5, or cannot be read."""
    found = md5(path)
    if found != expected:
        raise DataError(
            f"{path} has MD5 {found}, expected {expected}: it is damaged or not the published "
            "file; remove it, and get it again with `robench data fetch`"
        )


def md5(path: Path) -> str:
    """Return the file's MD5, in hexadecimal. Raises DataError where it cannot be read."""
    try:
        check_size(path, _MOST_BYTES)
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def existing(path: str, root: Path) -> Path:
    """Find the file or folder ``path``: as given, or else inside the folder ``root``.

    Raises DataError, which names both places, where it is in neither.
    """
    given = Path(path).expanduser()
    places = dict.fromkeys((Path.cwd() / given, root / given))  # one where it is absolute
    for place in places:
        if path and place.exists():
            return place
    looked = " and ".join(map(str, places))
    raise DataError(f"'{path}' does not exist (looked for {looked}); give a full path")


def unreadable(path: Path, error: BaseException) -> DataError:
    """The error for a file that the system or a library cannot read."""
    return DataError(f"{path} cannot be read ({first_line(error)})")
