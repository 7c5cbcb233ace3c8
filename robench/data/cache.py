"""Decoded data sets on disk, so that images are decoded once and then memory-mapped.

A cache is a folder with an ``.npy`` file for each array and an ``index.json``, written last, that
has their checksums. Its name ends in the state of what it was made from: a changed source is
another cache.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from robench.contracts import Data, Split
from robench.files import atomic_write, remove

_INDEX = "index.json"
_PARTS = [(part, what) for part in ("train", "held_out", "test") for what in ("images", "labels")]
_FILES = [f"{part}-{what}.npy" for part, what in _PARTS]


def cached(
    name: str, state: str, files: Sequence[Path], root: Path, build: Callable[[], Data]
) -> Data:
    """Return what ``build`` makes of ``files`` in this ``state``, from the cache if that is whole.

    ``name``, a spec, and the files' folder name the cache; its older states are removed. Images are
    memory-mapped, read-only. The cache is in ``root/.robench-cache``, or, where that cannot be
    written, in ``$XDG_CACHE_HOME/robench``; where neither can, the data set stays in memory.
    Raises what ``build`` raises.
    """
    label = f"{name.partition('(')[0]}-{digest_of([name, name_in(root, files)])[:8]}"
    here = f"{label}-{state}"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folders = (root / ".robench-cache", home / "robench" / digest_of([str(root.resolve())]))
    for folder in folders:
        if (data := _read(folder / here)) is not None:
            return data
    built = build()
    for folder in folders:
        with suppress(OSError):
            _write(folder / here, built)
            for older in set(folder.glob(f"{label}-*")) - {folder / here}:
                remove(older, "|".join([_INDEX, *_FILES]))
            return _read(folder / here) or built
    return built


def name_in(root: Path, files: Sequence[Path]) -> str:
    """The files' common path as seen from ``root``, so that a cache moves with it."""
    path = Path(os.path.commonpath(files))
    return (path.relative_to(root) if path.is_relative_to(root) else path.resolve()).as_posix()


def digest_of(facts: Sequence[object]) -> str:
    """The first 16 digits of the SHA-256 of facts that JSON can hold."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _read(folder: Path) -> Data | None:
    """The cached data set, or None where it is missing or damaged."""
    try:
        index = json.loads((folder / _INDEX).read_bytes())
        if _checksums(folder) != index["arrays"]:
            return None
        arrays = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in _FILES]
        train, held_out, test = map(Split, arrays[::2], arrays[1::2])
        return Data(train, held_out, test, tuple(map(str, index["classes"])))
    except Exception:  # damaged bytes make numpy raise nearly anything
        return None


def _write(folder: Path, data: Data) -> None:
    for (part, what), name in zip(_PARTS, _FILES, strict=True):
        with atomic_write(folder / name) as file:
            np.save(file, getattr(getattr(data, part), what), allow_pickle=False)
    index = {"classes": data.classes, "arrays": _checksums(folder)}
    with atomic_write(folder / _INDEX) as file:
        file.write(json.dumps(index, indent=1).encode())


def _checksums(folder: Path) -> dict[str, str]:
    sums = {}
    for name in _FILES:
        with (folder / name).open("rb") as file:
            sums[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums
