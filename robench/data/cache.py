"""Decoded data sets on disk, so that images are decoded once and then memory-mapped.

A cache is a folder with an ``.npy`` file for each array and an ``index.json``, written last, that
has their checksums. Its name ends in a digest of the source files' names, sizes and times: a
changed source is another cache.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from robench.contracts import Data, Split
from robench.data.checks import MOST_BYTES, check_labels, unreadable
from robench.files import atomic_write, check_size, read_limited

_FORMAT = 1  # raise it when what is stored, or the rule for the split, changes
_MOST_INDEX = 2**24  # bytes
_PARTS = ("train", "held_out", "test")


def remember(label: str, sources: Sequence[Path], root: Path, build: Callable[[], Data]) -> Data:
    """The data set that ``build`` makes from the files ``sources``, from the cache if it is whole.

    Images are memory-mapped, read-only. The cache is in ``root/.robench-cache``, or, where that
    cannot be written, in ``$XDG_CACHE_HOME/robench``; where neither can, the data set stays in
    memory. Raises DataError where a source cannot be read, and what ``build`` raises.
    """
    name = f"{label}-{_digest(sources, root)}"
    places = [place / name for place in _places(root)]
    for place in places:
        if (data := _read(place)) is not None:
            return data
    built = build()
    for place in places:
        with suppress(OSError):
            _write(place, built)
            _forget_others(place, label)
            if (data := _read(place)) is not None:
                return data
    return built


def _places(root: Path) -> list[Path]:
    root = root.resolve()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    elsewhere = home / "robench" / hashlib.sha256(str(root).encode()).hexdigest()[:16]
    # A folder without any write permission is meant to stay as it is, even where the superuser
    # could write.
    meant_to_change = root.is_dir() and root.stat().st_mode & 0o222
    return [root / ".robench-cache", elsewhere] if meant_to_change else [elsewhere]


def _digest(sources: Sequence[Path], root: Path) -> str:
    facts: list[object] = [_FORMAT]
    for path in sorted(sources):
        try:
            status = path.stat()
        except OSError as error:
            raise unreadable(path, error) from None
        inside = path.is_relative_to(root)
        name = path.relative_to(root) if inside else path.resolve()
        facts.append([name.as_posix(), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _read(place: Path) -> Data | None:
    """The cached data set, or None where it is missing or damaged."""
    try:
        index = json.loads(read_limited(place / "index.json", _MOST_INDEX))
        train, held_out, test = (
            _split(
                _array(place / _file(part, "images"), index["arrays"]),
                _array(place / _file(part, "labels"), index["arrays"]),
                len(index["classes"]),
            )
            for part in _PARTS
        )
        return Data(train, held_out, test, tuple(map(str, index["classes"])))
    except Exception:  # damaged bytes make numpy raise nearly anything
        return None


def _array(path: Path, checksums: dict[str, str]) -> Any:
    check_size(path, 2 * MOST_BYTES)
    if _checksum(path) != checksums[path.name]:
        raise ValueError(f"{path} is damaged")
    return open_memmap(path, "r")  # it refuses objects, and shapes that the file is too short for


def _split(images: Any, labels: Any, classes: int) -> Split:
    """Raises ValueError or DataError where they are not images and their labels."""
    fits = images.shape[:2] == (len(labels), 3) and (images.ndim, labels.ndim) == (4, 1)
    if images.dtype != np.uint8 or not fits:
        raise ValueError("no images")
    return Split(images, check_labels(labels, classes, "labels"))


def _write(place: Path, data: Data) -> None:
    place.mkdir(parents=True, exist_ok=True)
    checksums = {}
    for part in _PARTS:
        split: Split = getattr(data, part)
        for what, array in (("images", split.images), ("labels", split.labels)):
            path = place / _file(part, what)
            with atomic_write(path) as file:
                np.save(file, np.ascontiguousarray(array), allow_pickle=False)
            checksums[path.name] = _checksum(path)
    index = {"format": _FORMAT, "classes": data.classes, "arrays": checksums}
    with atomic_write(place / "index.json") as file:
        file.write(json.dumps(index, indent=1).encode())


def _forget_others(place: Path, label: str) -> None:
    """Remove what was cached under the same label from earlier versions of the source."""
    for other in place.parent.glob(f"{label}-" + "[0-9a-f]" * 16):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(part: str, what: str) -> str:
    return f"{part}-{what}.npy"
