"""Files written whole or not at all, and read within a limit of size."""

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]

_PLAIN = "biufU"  # numpy's kinds: booleans, whole numbers, floats, texts


class FileTooLarge(OSError):  # noqa: N818 (the name says enough)
    """The file is larger than is read; ``strerror`` has the limit."""


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears as ``path`` when the block ends without an error.

    It replaces an older file (or link) of that name in one step. Missing folders are made. Raises
    OSError where it cannot be written; nothing is left behind then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        error.filename = str(path)  # a full disk has no name, and nobody knows the unfinished file
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def remove(folder: Path, own: str) -> None:
    """Remove the files whose names match the pattern ``own``, and the folder if that empties it.

    Nothing is removed through a link, which may lead to somebody else's files: neither where the
    folder is one, nor where the folder around it is.
    """
    if folder.is_symlink() or folder.parent.is_symlink():
        return
    with suppress(OSError):
        for path in folder.iterdir():
            if re.fullmatch(own, path.name):
                path.unlink()
        folder.rmdir()


def check_size(path: Path, most: int) -> os.stat_result:
    """Return the file's status: its size and times.

    Raises FileTooLarge above ``most`` bytes, and OSError for what is not a file.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise OSError(errno.EINVAL, "not a file", str(path))
    if status.st_size > most:
        limit = f"larger than the {most / 2**20:g} MiB that are read"
        raise FileTooLarge(errno.EFBIG, limit, str(path))
    return status


def read_limited(path: Path, most: int) -> bytes:
    """Return the file's content. Raises FileTooLarge above ``most`` bytes, before it is opened."""
    check_size(path, most)
    return path.read_bytes()


def read_npz(source: Path | bytes, names: Collection[str] = ()) -> Arrays:
    """Return the arrays in an ``.npz`` file, or in a file's content, by name.

    If ``names`` are given, only those of them that are there are decoded.

    Raises ValueError for a file that is damaged, or has anything but numbers and texts.
    """
    try:
        with source.open("rb") if isinstance(source, Path) else BytesIO(source) as file:
            held = np.load(file, allow_pickle=False)
            arrays = {name: held[name] for name in held if not names or name in names}
    except Exception as error:  # damaged bytes make zipfile and numpy raise nearly anything
        raise ValueError(first_line(error)) from None
    for name, array in arrays.items():
        if isinstance(array, bytes) or array.dtype.kind not in _PLAIN:
            raise ValueError(f"{name[:40]} is not an array of numbers or texts")
    return arrays


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Write a compressed ``.npz`` file, and return its SHA-256.

    Equal arrays make equal bytes. Raises OSError as `atomic_write` does.
    """
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # names, not its own options
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())
    return hashlib.sha256(buffer.getbuffer()).hexdigest()


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or of the system's reason, or its type's name."""
    text = (isinstance(error, OSError) and error.strerror) or str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
