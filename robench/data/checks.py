"""What every source of images is held to, whatever its format."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robench.contracts import Data, DataError, Split

# Files come from anywhere and compress a thousandfold. These bounds lie well above any data set of
# this field and below what would take a machine down.
MOST_BYTES = 8 * 2**30  # decoded images of a data set
MOST_ENCODED_BYTES = 2 * 2**30  # one file, or one column of images before decoding
MOST_ROWS = 5_000_000

Labels = npt.NDArray[np.int64]


def check_labels(labels: npt.NDArray[Any], classes: int, where: str) -> Labels:
    """The labels as int64 [n]. Raises DataError where one is no whole number in 0..classes-1."""
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
    size = data.train.images.shape[1:]
    for name in ("train", "held_out", "test"):
        split: Split = getattr(data, name)
        images, part = split.images, f"{where}, {name}"
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise DataError(
                f"{part}: images are {images.dtype} {list(images.shape)}, expected uint8 pixels "
                "in 0 to 255, [n, 3, H, W]"
            )
        if images.shape[1:] != size:
            raise DataError(
                f"{part}: images are {images.shape[2]}×{images.shape[3]} pixels, the training "
                f"images {size[1]}×{size[2]}; expected one size"
            )
        if len(images) == 0:
            raise DataError(f"{part}: no images in it, expected at least one")
        if len(split.labels) != len(images):
            raise DataError(f"{part}: {len(images)} images but {len(split.labels)} labels")
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


def check_total(images: int, height: int, width: int, where: str) -> None:
    """Raises DataError where so many RGB images would not reasonably fit, or there is none."""
    if images < 1:
        raise DataError(f"{where}: no images in it, expected at least one")
    size = images * 3 * height * width
    if images > MOST_ROWS or size > MOST_BYTES:
        raise DataError(
            f"{where}: {images:,} images of {height}×{width} are {size / 2**30:.1f} GiB decoded, "
            f"more than the {MOST_ROWS:,} images or {MOST_BYTES / 2**30:.0f} GiB that are read; "
            "use smaller or fewer images"
        )


def md5(path: Path) -> str:
    """The file's MD5, in hexadecimal. Raises DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def wrong_md5(what: str, found: str, expected: str, way_out: str) -> DataError:
    """The one line for a file that is not the published one."""
    return DataError(
        f"{what} has MD5 {found}, expected {expected}: "
        f"it is damaged or not the published file; {way_out}"
    )


def unreadable(path: Path, error: BaseException) -> DataError:
    """The one line for a file that the system or a library cannot read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    first = next(iter(reason.strip().splitlines()), "") or type(error).__name__
    return DataError(f"{path} cannot be read ({first[:200]})")
