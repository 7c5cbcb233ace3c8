"""One bar with the time left for a whole run, and a line for each process, on a terminal."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from robench.contracts import Item
from robench.engine.progress import Planned
from robench.grid.spec import printable

_EVERY = 0.2  # seconds between two signs of a process

Sign = tuple[str, int, int]
"""A label, and how many of how many of its items are done."""


class Display:
    """Shows how many of ``total`` questions are answered; use it in a `with` statement.

    Silent where standard error is no terminal; where there is a ``watch``, that shows it all.
    """

    def __init__(self, total: int, watch: Planned | None = None) -> None:
        self._watch = watch
        self._bars = Progress(
            BarColumn(20),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            disable=watch is not None or not sys.stderr.isatty(),
            redirect_stdout=sys.stdout.isatty(),
            transient=True,
        )
        self._all = self._bars.add_task("all", total=total)
        self._lines: dict[str, TaskID] = {}
        self._pipes: dict[Connection, str] = {}
        self._ended = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Display":
        self._bars.start()
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listener.join()
        self._bars.stop()

    def answered(self) -> None:
        """Count one question more."""
        self._bars.advance(self._all)

    def line(self, process: str) -> Connection:
        """A line for a process, which shows what is sent by `Sent` into the end returned."""
        reader, writer = Pipe(duplex=False)
        self._pipes[reader] = process
        return writer

    def show(self, process: str, sign: Sign) -> None:
        """Show a sign in the line of a process."""
        label, done, total = sign
        if process not in self._lines:
            self._lines[process] = self._bars.add_task(process, total=None)
        if self._watch is not None:
            self._watch.follow(label, done, total)
        line = self._lines[process]
        self._bars.update(line, description=printable(label), completed=done, total=total)

    def _listen(self) -> None:
        while not self._ended.wait(_EVERY / 2):
            for reader in wait([*self._pipes], timeout=0):
                assert isinstance(reader, Connection)
                try:
                    sign = reader.recv()
                except (EOFError, OSError):  # the process ended in the midst of it
                    del self._pipes[reader]
                    continue
                self.show(self._pipes[reader], sign)


class Sent:
    """The `Progress` of a process whose line is shown by another."""

    def __init__(self, send: Callable[[Sign], None]) -> None:
        self._send, self._last = send, 0.0

    def __call__(self, items: Sequence[Item], label: str) -> Iterable[Item]:
        for done, item in enumerate(items):
            if time.monotonic() - self._last > _EVERY:
                self._send((label, done, len(items)))
                self._last = time.monotonic()
            yield item
