"""Who computes what, among processes that share a folder, also from different machines.

A lease is a file with the owner's name and a count that the owner raises every few seconds. It is
free where there is no file; it is abandoned where its owner is a dead process of this machine, or
where the file has not changed for a while, which each process times for itself: clocks of machines
differ and jump. An abandoned lease is taken over by making the one file that is named after it,
which only one process can; so there is no moment at which two could find the lease free.

Leases save work from being done twice. No answer depends on them: whoever was taken for dead, and
goes on, writes the same answer once more.
"""

import json
import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

BEAT = 10.0
"""Seconds between two signs of life."""
PATIENCE = 60.0
"""Seconds without a sign of life after which an owner elsewhere counts as dead."""

_UNREADABLE = "0" * 16  # stands for the token of a lease whose owner died while writing it


class Busy(Exception):  # noqa: N818 (no error: it is somebody else's turn)
    """Another process holds the lease; the message says which."""


class Leases:
    """The leases of one process, and what it has seen of others'."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[bytes, float]] = {}

    def take(self, path: Path) -> "Lease":
        """Take the lease whose file is ``path``.

        Raises Busy where another process holds it, and OSError where the folder cannot be written.
        """
        chain = self._busy_unless_free(path)
        claimed = path if not chain else _successor(path, chain)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lease = Lease(path, claimed)
        except FileExistsError:
            raise Busy("another process") from None
        if [file for file, _ in _chain(path)] != [*(file for file, _ in chain), claimed]:
            lease.withdraw()  # it had been taken over, used and freed since we looked
            raise Busy("another process")
        return lease

    def check(self, path: Path) -> None:
        """Raise Busy where another process holds the lease."""
        self._busy_unless_free(path)

    def _busy_unless_free(self, path: Path) -> list[tuple[Path, bytes]]:
        """The abandoned leases of this name, oldest first. Raises Busy where one is alive."""
        chain = _chain(path)
        if chain and not self._abandoned(*chain[-1]):
            owner = _owner(chain[-1][1])
            raise Busy(f"process {owner.get('pid', '?')} on {owner.get('host', 'another machine')}")
        return chain

    def _abandoned(self, file: Path, content: bytes) -> bool:
        owner = _owner(content)
        if owner.get("machine") == _machine() and not _runs(owner["pid"]):
            return True
        now = time.monotonic()
        before, since = self._seen.setdefault(file, (content, now))
        if before != content:
            self._seen[file] = content, now
            return False
        return now - since >= PATIENCE


class Lease:
    """A lease that is held, with signs of life, until the block ends."""

    def __init__(self, root: Path, file: Path) -> None:
        self._root, self._file = root, file
        owner = {
            "token": secrets.token_hex(8),
            "host": platform.node(),
            "pid": os.getpid(),
            "machine": _machine(),
        }
        head = f"{json.dumps(owner)}\n".encode()
        self._end = len(head)
        self._open = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True, name=f"lease {file.name}")
        try:
            os.write(self._open, head + _count(0))
            self._thread.start()
        except BaseException:
            os.close(self._open)
            file.unlink(missing_ok=True)
            raise

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let others have it, unless one has taken it over."""
        self._finish()
        with suppress(OSError):
            chain = [file for file, _ in _chain(self._root)]
            if chain and chain[-1] == self._file:
                for file in chain:  # the root first: with it the name is free
                    file.unlink(missing_ok=True)

    def withdraw(self) -> None:
        """Undo having taken it."""
        self._finish()
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _finish(self) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._open)

    def _live(self) -> None:
        count = 0
        while not self._over.wait(BEAT):
            count += 1
            # Into the file that was made here, whatever has its name now: nobody else's is touched.
            # A sign of life that cannot be given is none; the work goes on all the same.
            with suppress(OSError):
                os.lseek(self._open, self._end, os.SEEK_SET)
                os.write(self._open, _count(count))
                os.fsync(self._open)


def _count(count: int) -> bytes:
    return f"{count:012}\n".encode()


def _chain(path: Path) -> list[tuple[Path, bytes]]:
    """The files of a lease and what they hold: the first owner's, then who took over from whom."""
    chain: list[tuple[Path, bytes]] = []
    file = path
    while True:
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return chain
        chain.append((file, content))
        file = _successor(path, chain)


def _successor(path: Path, chain: list[tuple[Path, bytes]]) -> Path:
    token = _owner(chain[-1][1]).get("token", _UNREADABLE)
    return path.with_name(f"{path.name}.{len(chain)}.{token}")


def _owner(content: bytes) -> dict[str, object]:
    try:
        owner = json.loads(content.partition(b"\n")[0])
        return owner if str(owner["token"]).isalnum() and isinstance(owner["pid"], int) else {}
    except (ValueError, KeyError, TypeError):
        return {}


def _machine() -> str:
    """What tells whether a process number means the same here as there: boot and container."""
    facts = [platform.node()]
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(facts)


def _runs(number: object) -> bool:
    if os.name != "posix":
        return True  # elsewhere 0 is a signal like any other; signs of life have to do
    try:
        os.kill(int(str(number)), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # another person's
    return True
