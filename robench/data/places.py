"""Where a file or folder that was named on the command line is."""

import hashlib
import re
from pathlib import Path

from robench.contracts import DataError


def find(path: str, root: Path) -> Path:
    """The existing file or folder ``path``: as given, or else inside the folder ``root``.

    Raises DataError, which names both places, where it is in neither.
    """
    given = Path(path).expanduser()
    for place in (given, root / given):
        if path and place.exists():
            return place
    looked = f"{given}" if given.is_absolute() else f"{Path.cwd() / given} and {root / given}"
    raise DataError(f"'{path}' does not exist (looked for {looked}); give a full path")


def label(kind: str, path: Path) -> str:
    """A file name's beginning that belongs to this path alone: ``npz-bloodmnist-1f0c9a3e``."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    stem = re.sub(r"[^a-z0-9]+", "_", path.resolve().stem.lower()).strip("_")[:40]
    return "-".join(part for part in (kind, stem, digest) if part)
