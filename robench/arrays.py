"""Plain arrays out of an ``.npz`` file from anywhere.

An ``.npz`` is a zip of ``.npy`` files, which may hold pickles, claim any shape, and unfold to a
thousand times their size. So each one's header is read first; no objects, no header that says
something else than the zip, and nothing beyond the limits is read any further.
"""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from robench import bounded

_AT_ONCE = 2**20  # bytes; the zip's directory is read at once, and a longer one lists a myriad
_PLAIN = "biufU"  # booleans, whole numbers, floats, texts
_HARMLESS = 2**28  # bytes; what unfolds to no more is no bomb
_MOST_FOLDED = 200  # times; larger arrays of images fold to a half or a tenth, not to less


class ArraysError(ValueError):
    """The file is no whole ``.npz`` file of plain arrays; the message says how it shows."""


@dataclass(frozen=True)
class Header:
    """What an array in the file says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class Arrays:
    """The arrays of an open file, by name."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = tuple(
            name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")
        )

    def header(self, name: str) -> Header:
        """The array's header. Raises ArraysError where it is damaged, or no plain array's."""
        member = self._archive.getinfo(f"{name}.npy")
        with _told(), self._archive.open(member) as file:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(file)
            content = member.file_size - file.tell()
        header = Header(shape, dtype)
        if dtype.kind not in _PLAIN or dtype.itemsize == 0 or min(shape, default=0) < 0:
            raise ArraysError(f"{name[:40]} is {str(dtype)[:40]}, expected numbers or texts")
        if header.size != content:
            raise ArraysError(
                f"{name[:40]} says it has {header.size:,} bytes and has {content:,} in the file"
            )
        if content > max(_HARMLESS, _MOST_FOLDED * member.compress_size):
            raise ArraysError(
                f"{name[:40]} unfolds from {member.compress_size:,} bytes to {content:,}"
            )
        return header

    def read(self, name: str) -> npt.NDArray[Any]:
        """The array. Raises ArraysError as `header` does."""
        self.header(name)
        return self._read(name)

    def _read(self, name: str) -> npt.NDArray[Any]:
        with _told(), self._archive.open(f"{name}.npy") as file:
            array: npt.NDArray[Any] = npy.read_array(file, allow_pickle=False)
        return array


@contextmanager
def opened(source: Path | bytes) -> Iterator[Arrays]:
    """The arrays of a file, or of a file's content.

    Raises ArraysError where it is no zip, and OSError where the system cannot read it.
    """
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        with _told():
            archive = zipfile.ZipFile(bounded.Sparing(file, _AT_ONCE))
        with archive:
            yield Arrays(archive)


def read(content: bytes, most: int) -> dict[str, npt.NDArray[Any]]:
    """Every array in a file's content, of at most ``most`` bytes together.

    Raises ArraysError.
    """
    with opened(content) as arrays:
        total = sum(arrays.header(name).size for name in arrays.names)
        if total > most:
            raise ArraysError(
                f"its arrays have {total:,} bytes, more than the {most:,} that are read"
            )
        return {name: arrays._read(name) for name in arrays.names}


@contextmanager
def _told() -> Iterator[None]:
    """Damaged bytes make zipfile and numpy raise nearly anything; it leaves as an ArraysError."""
    try:
        yield
    except ArraysError:
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise ArraysError(first[:200]) from None
