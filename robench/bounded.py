"""Files from anywhere, read whole: only files, and none larger than it may be."""

import errno
import stat
from pathlib import Path
from typing import BinaryIO


class UnfitError(OSError):
    """What has the path is no file, or a larger one than is read; ``strerror`` says which."""


def read(path: Path, most: int) -> bytes:
    """The file's content, of at most ``most`` bytes.

    A pipe or a device, which may never end, is not opened. Raises UnfitError for it and for a
    larger file, and OSError where the system cannot read it.
    """
    size = check(path, most)
    with path.open("rb") as file:
        content = file.read(size + 1)
    if len(content) > size:
        raise UnfitError(errno.EBUSY, "it grows while it is read", str(path))
    return content


def check(path: Path, most: int) -> int:
    """The file's size. Raises UnfitError for what is no file, or has more than ``most`` bytes."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnfitError(errno.EINVAL, "it is no file", str(path))
    if status.st_size > most:
        raise UnfitError(
            errno.EFBIG, f"it has more than the {most / 2**20:g} MiB that are read", str(path)
        )
    return status.st_size


class Sparing:
    """An open file for `zipfile` that gives at most ``most`` bytes at a time.

    A zip's directory is read at once, so one that lists a myriad of files raises UnfitError.
    """

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._most = file, most
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        """Bytes as `io.RawIOBase.read` gives them."""
        data = self._file.read(min(count, self._most + 1) if count >= 0 else self._most + 1)
        if len(data) > self._most:
            raise UnfitError(errno.EFBIG, "it lists far too many files")
        return data
