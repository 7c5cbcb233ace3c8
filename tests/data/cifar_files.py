"""Tiny stand-ins for CIFAR's files: noise for images, and the MD5 that belongs to them."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from robench.contracts import Split
from robench.data.cifar import CIFAR10, Cifar

Item = TypeVar("Item")


def quiet(items: Sequence[Item], label: str) -> Iterable[Item]:
    return items


def noise(n: int, seed: int) -> Split:
    """Images of which two belong to each class in turn, so that n = 20 has all ten classes."""
    images = np.random.default_rng(seed).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    return Split(images, np.arange(n, dtype=np.int64) // 2 % 10)


TRAIN, TEST = noise(20, 1), noise(8, 2)


def pickled(split: Split) -> bytes:
    batch = {"data": split.images.reshape(len(split), -1), "labels": split.labels.tolist()}
    return pickle.dumps(batch, protocol=4)


def contents(train: Split = TRAIN, test: Split = TEST) -> dict[str, bytes]:
    """The batches by their names, the training images dealt to the first two of five."""
    first, second = (Split(train.images[i], train.labels[i]) for i in (slice(12), slice(12, None)))
    return {
        "data_batch_1": pickled(first),
        "data_batch_2": pickled(second),
        "test_batch": pickled(test),
    }


def described(files: dict[str, bytes], archive: bytes = b"") -> Cifar:
    """CIFAR-10 with the checksums of these files in place of the published ones."""
    sums = {name: md5(content) for name, content in files.items()}
    return replace(
        CIFAR10,
        archive=(CIFAR10.archive[0], md5(archive)),
        archive_bytes=len(archive),
        train=(("data_batch_1", sums["data_batch_1"]), ("data_batch_2", sums["data_batch_2"])),
        test=(("test_batch", sums["test_batch"]),),
    )


def write_batches(root: Path, files: dict[str, bytes]) -> Path:
    folder = root / CIFAR10.folder
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def archived(files: dict[str, bytes], folder: str = CIFAR10.folder) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def encoded(image: npt.NDArray[np.uint8], form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(
        buffer, form, **({"lossless": True} if form == "WEBP" else {})
    )
    return buffer.getvalue()


def write_parquet(
    path: Path,
    images: Sequence[bytes | None],
    labels: Sequence[int | None],
    image: str = "img",
    label: str = "label",
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(images)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(
        pa.table({image: pa.array(rows, kind), label: pa.array(labels, pa.int64())}), path
    )
    return path


def write_split(path: Path, split: Split, form: str = "PNG") -> Path:
    return write_parquet(
        path, [encoded(image, form) for image in split.images], split.labels.tolist()
    )


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def one_line(error: BaseException) -> str:
    message = str(error)
    assert "\n" not in message
    assert len(message) < 500
    return message
