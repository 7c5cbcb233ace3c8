"""Any ``.npz`` file with MedMNIST's keys (Yang et al. 2023, arXiv 2110.14795)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robench.contracts import Data, DataError, Dataset, Progress, Split
from robench.data.checks import check_labels, existing, unreadable
from robench.data.splits import in_three
from robench.files import Arrays, read_npz

PARTS = ("train", "val", "test")
KEYS = tuple(f"{part}_{what}" for part in PARTS for what in ("images", "labels"))


@dataclass(frozen=True)
class Npz(Dataset):
    """Images and labels from the file ``path``, its ``val`` part held out.

    Images are uint8 [n, H, W], [n, H, W, 1] or [n, H, W, 3], labels whole numbers [n] or [n, 1],
    from 0 without gaps; classes are named by their numbers. A relative path is looked up from the
    current folder, then in the data folder.
    """

    path: str

    def files(self, root: Path) -> Sequence[Path]:
        return (existing(self.path, root),)

    def load(self, root: Path, progress: Progress) -> Data:
        path = existing(self.path, root)
        try:
            arrays = read_npz(path)
        except ValueError as error:
            raise DataError(f"{unreadable(path, error)}; expected a whole .npz file") from None
        if not set(KEYS) <= set(arrays):
            found = ", ".join(name[:40] for name in list(arrays)[:12]) or "(none)"
            raise DataError(f"{path} has the keys {found}; expected {', '.join(KEYS)}")
        images = [_images(arrays, part, path) for part in PARTS]
        most = len(images[0])  # classes, of which each has a training image
        classes = int(_labels(arrays, "train", most, path).max(initial=0)) + 1
        labels = [_labels(arrays, part, classes, path) for part in PARTS]
        train, held_out, test = map(Split, images, labels)
        return in_three(train, test, tuple(map(str, range(classes))), held_out=held_out)


def _images(arrays: Arrays, part: str, path: Path) -> npt.NDArray[np.uint8]:
    images = arrays[f"{part}_images"]
    shape = list(images.shape)
    if images.dtype != np.uint8 or len(shape) not in (3, 4) or shape[3:] not in ([], [1], [3]):
        found = f"{path}: {part}_images is {images.dtype} {shape}"
        raise DataError(f"{found}, expected uint8 [n, H, W] or [n, H, W, 3]")
    n, height, width, *channels = shape
    images = images.reshape(n, height, width, *(channels or [1]))
    return np.broadcast_to(images.transpose(0, 3, 1, 2), (n, 3, height, width))


def _labels(arrays: Arrays, part: str, classes: int, path: Path) -> npt.NDArray[np.int64]:
    labels, count = arrays[f"{part}_labels"], len(arrays[f"{part}_images"])
    where = f"{path}, {part}_labels"
    if labels.shape not in ((count,), (count, 1)):
        raise DataError(f"{where} is {list(labels.shape)}, expected one number an image, [{count}]")
    return check_labels(labels.reshape(-1), classes, where)
