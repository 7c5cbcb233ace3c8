"""Locks between processes that share a folder, so that nothing is computed twice.

The system releases a lock when its process ends, however it ends: nothing goes stale. No answer
depends on a lock, so where a network folder has none, work is merely done more than once.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout


class Busy(Exception):  # noqa: N818 (not an error: another process computes the answer)
    """Another process holds the lock."""


def lock(path: Path) -> AbstractContextManager[object]:
    """Take the lock whose file is ``path``; use it in a `with` statement.

    Raises Busy if another process holds it, and OSError if the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path)
    try:
        return held.acquire(blocking=False)
    except Timeout:
        raise Busy("another process") from None
