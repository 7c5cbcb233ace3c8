"""Arrays of images in an ``.npz`` file, under the keys that MedMNIST uses."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from robench.contracts import Data, DataError, Split
from robench.data.checks import MOST_BYTES, check_data, check_labels, unreadable
from robench.data.splits import in_three
from robench.files import Arrays, read_npz

PARTS = ("train", "val", "test")
KEYS = tuple(f"{part}_{what}" for part in PARTS for what in ("images", "labels"))


def read(path: Path) -> Data:
    """Read the data set in the file; ``val`` is its held-out part.

    Images are uint8 [n, H, W], [n, H, W, 1] or [n, H, W, 3], labels whole numbers [n] or [n, 1],
    from 0 without gaps. Classes are named by their numbers. Grey images get three equal channels.
    Raises DataError for a file that is damaged, lacks a key, or holds something else.
    """
    try:
        arrays = read_npz(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"{unreadable(path, error)}; expected a whole .npz file") from None
    if not set(KEYS) <= set(arrays):
        found = ", ".join(name[:40] for name in list(arrays)[:12]) or "(none)"
        raise DataError(f"{path} has the keys {found}; expected {', '.join(KEYS)}")
    train, held_out, test = (_part(arrays, part, path) for part in PARTS)
    top = int(train.labels.max(initial=0))
    if top >= max(len(train), 1):
        raise DataError(
            f"{path}: train_labels go up to {top}, but there are only {len(train)} images; "
            "expected classes numbered from 0 without gaps"
        )
    for part, split in zip(PARTS, (train, held_out, test), strict=True):
        check_labels(split.labels, top + 1, f"{path}, {part}_labels")
    data = in_three(train, test, tuple(map(str, range(top + 1))), held_out=held_out)
    check_data(data, str(path))
    return data


def _part(arrays: Arrays, part: str, path: Path) -> Split:
    images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    shape = list(images.shape)
    if images.dtype != np.uint8 or len(shape) not in (3, 4) or shape[3:] not in ([], [1], [3]):
        raise DataError(
            f"{path}: {part}_images is {images.dtype} {shape}, "
            "expected uint8 [n, H, W] or [n, H, W, 3]"
        )
    if labels.dtype.kind not in "iu" or labels.shape not in ((shape[0],), (shape[0], 1)):
        raise DataError(
            f"{path}: {part}_labels is {labels.dtype} {list(labels.shape)}, expected one whole "
            f"number for each image, [{shape[0]}]"
        )
    return Split(_channels_first(images), labels.reshape(-1).astype(np.int64))


def _channels_first(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if images.ndim == 3:
        images = images[..., None]
    n, height, width, _ = images.shape
    return np.broadcast_to(images.transpose(0, 3, 1, 2), (n, 3, height, width))
