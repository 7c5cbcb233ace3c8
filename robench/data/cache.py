"""Decoded data sets on disk, so that images are decoded once and then memory-mapped.

A cache is a folder with an ``.npy`` file for each array and an ``index.json``, written last, that
has their checksums. Its name ends in a digest of the source files' names, sizes and times: a
changed source is another cache.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from robench.contracts import Data, Split
from robench.data.checks import unreadable
from robench.files import atomic_write, read_limited

_FORMAT = 2  # raise it when what is stored, or the rule for the split, changes
_PARTS = ("train", "held_out", "test")
_INDEX = "index.json"
_FILES = [f"{part}-{what}.npy" for part in _PARTS for what in ("images", "labels")]


def cached(
    kind: str, source: Path, files: Sequence[Path], root: Path, build: Callable[[], Data]
) -> Data:
    """Return what ``build`` makes of ``files``, from the cache where it is there and whole.

    ``kind`` and ``source`` name the cache; an older one of the same two is removed. Images are
    memory-mapped, read-only. The cache is in ``root/.robench-cache``, or, where that cannot be
    written, in ``$XDG_CACHE_HOME/robench``; where neither can, the data set stays in memory.
    Raises DataError where a file cannot be read, and what ``build`` raises.
    """
    label = f"{kind}-{_digest([_name(source, root)])[:8]}"
    name = f"{label}-{_digest([_FORMAT, *(_facts(path, root) for path in sorted(files))])}"
    places = [place / name for place in _places(root)]
    for place in places:
        if (data := _read(place)) is not None:
            return data
    built = build()
    for place in places:
        with suppress(OSError):
            _write(place, built)
            _remove_older(place, label)
            if (data := _read(place)) is not None:
                return data
    return built


def _places(root: Path) -> list[Path]:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    elsewhere = home / "robench" / _digest([str(root.resolve())])
    # A folder without any write permission is meant to stay as it is, even where the superuser
    # could write.
    meant_to_change = root.is_dir() and root.stat().st_mode & 0o222
    return [root / ".robench-cache", elsewhere] if meant_to_change else [elsewhere]


def _facts(path: Path, root: Path) -> list[object]:
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    return [_name(path, root), status.st_size, status.st_mtime_ns]


def _name(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path.resolve()).as_posix()


def _digest(facts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _read(place: Path) -> Data | None:
    """The cached data set, or None where it is missing or damaged."""
    try:
        index = json.loads(read_limited(place / _INDEX, 2**24))
        if {name: _checksum(place / name) for name in _FILES} != index["arrays"]:
            return None
        arrays = [np.load(place / name, mmap_mode="r", allow_pickle=False) for name in _FILES]
        train, held_out, test = map(Split, arrays[::2], arrays[1::2])
        return Data(train, held_out, test, tuple(map(str, index["classes"])))
    except Exception:  # damaged bytes make numpy raise nearly anything
        return None


def _write(place: Path, data: Data) -> None:
    for part in _PARTS:
        for what in ("images", "labels"):
            with atomic_write(place / f"{part}-{what}.npy") as file:
                array = np.ascontiguousarray(getattr(getattr(data, part), what))
                np.save(file, array, allow_pickle=False)
    arrays = {name: _checksum(place / name) for name in _FILES}
    with atomic_write(place / _INDEX) as file:
        file.write(json.dumps({"classes": data.classes, "arrays": arrays}, indent=1).encode())


def _remove_older(place: Path, label: str) -> None:
    """Remove our own files from the caches of earlier versions of the source."""
    for other in place.parent.glob(f"{label}-{'[0-9a-f]' * 16}"):
        if other != place and not other.is_symlink():
            for name in (_INDEX, *_FILES):
                (other / name).unlink(missing_ok=True)
            with suppress(OSError):  # there is more in it than we wrote
                other.rmdir()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
