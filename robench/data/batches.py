"""CIFAR's "python version": pickled batches in a folder, or in the archive as published.

A pickle can run any code where it is unpickled, so none is: a batch is checked against its
published MD5 first, and then read as data (see `plain_pickle`).
"""

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robench.contracts import DataError, Split
from robench.data import plain_pickle
from robench.data.checks import check_labels, md5, unreadable, wrong_md5
from robench.data.cifar import Cifar, File

_MOST_BYTES = 256 * 2**20  # the largest published batch, CIFAR-100's train, has 155 MB
_PIXELS = 3 * 32 * 32


def read_folder(cifar: Cifar, folder: Path) -> tuple[Split, Split]:
    """Train and test from the batches in ``folder``.

    Raises DataError for a batch that is missing, has another MD5, or is not what it should be.
    """

    def content(name: str) -> bytes:
        path = folder / name
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise DataError(f"{path} is larger than any batch of {cifar.name}; remove it")
            return path.read_bytes()
        except OSError as error:
            raise unreadable(path, error) from None

    return _read(cifar, folder, content)


def read_archive(cifar: Cifar, archive: Path) -> tuple[Split, Split]:
    """Train and test from the published ``.tar.gz``, of which nothing is unpacked to disk.

    Raises DataError where the archive or a batch in it has another MD5, or is not what it should
    be.
    """
    check_archive(cifar, archive)
    wanted = {f"{cifar.folder}/{name}": name for name, _ in (*cifar.train, *cifar.test)}
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = wanted.get(member.name)
                if name is None or not member.isreg() or member.size > _MOST_BYTES:
                    continue
                file = tar.extractfile(member)
                if file is not None:
                    contents[name] = file.read(_MOST_BYTES)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise unreadable(archive, error) from None

    def content(name: str) -> bytes:
        if name not in contents:
            raise DataError(
                f"{archive} has no file {cifar.folder}/{name}; it is not the published one"
            )
        return contents[name]

    return _read(cifar, archive, content)


def check_archive(cifar: Cifar, archive: Path) -> None:
    """Raises DataError where the archive's MD5 is not the published one."""
    expected, found = cifar.archive[1], md5(archive)
    if found != expected:
        raise wrong_md5(str(archive), found, expected, _again(cifar, archive))


def _read(cifar: Cifar, where: Path, content: Callable[[str], bytes]) -> tuple[Split, Split]:
    def part(files: tuple[File, ...]) -> Split:
        splits = [_batch(cifar, where, name, md5, content(name)) for name, md5 in files]
        images = np.concatenate([split.images for split in splits])
        return Split(images, np.concatenate([split.labels for split in splits]))

    return part(cifar.train), part(cifar.test)


def _batch(cifar: Cifar, where: Path, name: str, expected: str, content: bytes) -> Split:
    path = where / name
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise wrong_md5(str(path), found, expected, _again(cifar, where))
    batch = unpickle(content, str(path))
    pixels, labels = batch.get("data"), batch.get(cifar.label)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise DataError(f"{path}: 'data' is no table of bytes")
    if pixels.shape[1] != _PIXELS or not isinstance(labels, list) or len(labels) != len(pixels):
        raise DataError(
            f"{path}: expected 3×32×32 pixels a row, and as many '{cifar.label}' as rows"
        )
    if not all(type(label) is int and abs(label) < 2**31 for label in labels):
        raise DataError(f"{path}: '{cifar.label}' should be whole numbers")
    images = pixels.reshape(-1, 3, 32, 32)
    return Split(images, check_labels(np.array(labels), len(cifar.classes), str(path)))


def unpickle(content: bytes, where: str) -> Mapping[str, Any]:
    """The dictionary in a pickle of containers, numbers, texts and arrays of numbers.

    Raises DataError where the pickle asks for anything else, or is damaged.
    """
    try:
        value = plain_pickle.read(content)
    except plain_pickle.PickleError as error:
        raise DataError(f"{where}: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: holds a {type(value).__name__}, expected a dictionary")
    return value


def _again(cifar: Cifar, where: Path) -> str:
    return f"remove it, then {cifar.way_out(where.parent)}"
