"""Tiny stand-ins for CIFAR's files: noise for images, and the MD5 that belongs to them."""

import gzip
import hashlib
import io
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from robench.contracts import Data, Split
from robench.data.cifar import Cifar


def noise(n: int, seed: int) -> Split:
    """Images of which two belong to each class in turn, so that n = 20 has all ten classes."""
    images = np.random.default_rng(seed).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    return Split(images, np.arange(n, dtype=np.int64) // 2 % 10)


TRAIN, TEST = noise(20, 1), noise(8, 2)


def pickled(split: Split) -> bytes:
    """A batch of either set: CIFAR-100 has two kinds of labels, the 100 fine and 20 coarse."""
    labels = split.labels.tolist()
    names = {"labels": labels} if max(labels) < 10 else {"fine_labels": labels}
    coarse = [label // 5 for label in labels]
    data = split.images.reshape(len(split), -1)
    return pickle.dumps({"coarse_labels": coarse, **names, "data": data}, protocol=4)


def batches(train: Split = TRAIN, test: Split = TEST) -> dict[str, bytes]:
    """The batches by their names, the training images dealt to two files."""
    first, second = (Split(train.images[i], train.labels[i]) for i in (slice(12), slice(12, None)))
    names = pickle.dumps({"label_names": [], "fine_label_names": []})
    made = {"data_batch_1": pickled(first), "data_batch_2": pickled(second)}
    return {**made, "test_batch": pickled(test), "meta": names}


def publish(patch: pytest.MonkeyPatch, cifar: Cifar, files: dict[str, bytes]) -> None:
    """Let torchvision hold these files, and the archive of them, for the published ones."""
    sums = [[name, md5(content)] for name, content in files.items()]
    patch.setattr(cifar.published, "train_list", [one for one in sums if "data" in one[0]])
    patch.setattr(cifar.published, "test_list", [one for one in sums if "test" in one[0]])
    meta = {**cifar.published.meta, "filename": "meta", "md5": md5(files["meta"])}
    patch.setattr(cifar.published, "meta", meta)
    patch.setattr(cifar.published, "tgz_md5", md5(archived(cifar, files)))


def write_batches(root: Path, cifar: Cifar, files: dict[str, bytes]) -> None:
    folder = root / cifar.published.base_folder
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def archived(cifar: Cifar, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folder = tarfile.TarInfo(cifar.published.base_folder)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(f"{cifar.published.base_folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def encoded(image: npt.NDArray[np.uint8], form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    lossless = {"lossless": True} if form == "WEBP" else {}
    Image.fromarray(image.transpose(1, 2, 0)).save(buffer, form, **lossless)
    return buffer.getvalue()


def write_parquet(
    path: Path, images: Sequence[bytes | None], labels: Sequence[int | None], label: str = "label"
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(images)]
    columns = {
        "img": pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "coarse_label": pa.array([0] * len(labels), pa.int64()),
        label: pa.array(labels, pa.int64()),
    }
    pq.write_table(pa.table(columns), path)
    return path


def write_split(path: Path, split: Split, form: str = "PNG", label: str = "label") -> Path:
    images = [encoded(image, form) for image in split.images]
    return write_parquet(path, images, split.labels.tolist(), label)


def same(one: Data, other: Data) -> bool:
    return one.classes == other.classes and all(
        np.array_equal(getattr(one, part).images, getattr(other, part).images)
        and np.array_equal(getattr(one, part).labels, getattr(other, part).labels)
        for part in ("train", "held_out", "test")
    )


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
