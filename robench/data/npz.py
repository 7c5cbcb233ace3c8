"""Arrays of images in an ``.npz`` file, under the keys that MedMNIST uses."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robench.arrays import Arrays, ArraysError, opened
from robench.contracts import Data, DataError, Split
from robench.data.checks import MOST_ROWS, check_labels, check_total, unreadable
from robench.data.splits import in_three

KEYS = tuple(f"{part}_{what}" for part in ("train", "val", "test") for what in ("images", "labels"))

Shape = tuple[int, ...]


def read(path: Path) -> Data:
    """The data set in the file; ``val`` is its held-out part.

    Images are uint8 [n, H, W], [n, H, W, 1] or [n, H, W, 3], labels whole numbers [n] or [n, 1].
    Classes are named by their numbers. Grey images get three equal channels. Raises DataError for a
    file that is damaged, lacks a key, or holds something else; headers are checked before arrays.
    """
    try:
        with opened(path) as archive:
            shapes = {key: _shape(archive, key, path) for key in KEYS}
            _check_shapes(shapes, path)
            arrays = {key: archive.read(key) for key in KEYS}
    except (ArraysError, OSError) as error:
        raise DataError(f"{unreadable(path, error)}; expected a whole .npz file") from None
    classes = _classes(arrays["train_labels"], path)
    parts = [
        Split(
            _channels_first(arrays[f"{part}_images"]),
            check_labels(arrays[f"{part}_labels"].reshape(-1), classes, f"{path}, {part}_labels"),
        )
        for part in ("train", "val", "test")
    ]
    names = tuple(str(label) for label in range(classes))
    return in_three(parts[0], parts[2], names, held_out=parts[1])


def _shape(archive: Arrays, key: str, path: Path) -> Shape:
    if key not in archive.names:
        found = ", ".join(name[:40] for name in archive.names[:12]) or "(none)"
        raise DataError(f"{path} has the keys {found}; expected {', '.join(KEYS)}")
    header = archive.header(key)
    expected = "uint8" if key.endswith("images") else "whole numbers"
    if (expected == "uint8" and header.dtype != np.uint8) or header.dtype.kind not in "iu":
        raise DataError(f"{path}: {key} is {header.dtype}, expected {expected}")
    return header.shape


def _check_shapes(shapes: dict[str, Shape], path: Path) -> None:
    rows = 0
    for part in ("train", "val", "test"):
        images, labels = shapes[f"{part}_images"], shapes[f"{part}_labels"]
        if len(images) not in (3, 4) or (len(images) == 4 and images[3] not in (1, 3)):
            raise DataError(
                f"{path}: {part}_images has the shape {list(images)}, "
                "expected [n, H, W] or [n, H, W, 3]"
            )
        if labels not in ((images[0],), (images[0], 1)):
            raise DataError(
                f"{path}: {part}_labels has the shape {list(labels)}, expected [{images[0]}]: "
                "one label for each image"
            )
        if images[1:3] != shapes["train_images"][1:3]:
            raise DataError(
                f"{path}: {part}_images are {images[1]}×{images[2]} pixels, "
                f"train_images are {'×'.join(map(str, shapes['train_images'][1:3]))}; "
                "expected one size"
            )
        check_total(images[0], images[1], images[2], f"{path}, {part}_images")
        rows += images[0]
    check_total(rows, shapes["train_images"][1], shapes["train_images"][2], str(path))


def _classes(labels: npt.NDArray[Any], path: Path) -> int:
    top = int(labels.max())
    if top >= min(len(labels), MOST_ROWS):
        raise DataError(
            f"{path}: train_labels go up to {top}, but there are only {len(labels)} images; "
            "expected classes numbered from 0"
        )
    return top + 1


def _channels_first(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if images.ndim == 3:
        images = images[..., None]
    n, height, width, _ = images.shape
    return np.broadcast_to(images.transpose(0, 3, 1, 2), (n, 3, height, width))
