"""Signals that wait until the work can stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Holds a signal back until the work can stop. A second signal does not wait."""

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._waiting: tuple[int, FrameType | None] | None = None

    def __call__(self, save: Callable[[], None]) -> None:
        """At a safe point: if a signal waits, save, and let it do what it does."""
        if self._waiting is not None:
            save()
            self._happen()

    def _happen(self) -> None:
        if self._waiting is not None:
            (number, frame), self._waiting = self._waiting, None
            self._handlers[number](number, frame)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        second, self._waiting = self._waiting is not None, (number, frame)
        if second:
            self._happen()


@contextmanager
def at_safe_points() -> Iterator[Stop]:
    """Within the block, Ctrl-C and SIGTERM wait until the work calls the `Stop`, or to the end.

    Only a signal with a handler in Python waits, and only in the main thread, which runs them.
    """
    stop = Stop()
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                stop._handlers[number] = handler
                signal.signal(number, stop._hold)
    try:
        yield stop
    finally:
        for held, before in stop._handlers.items():
            signal.signal(held, before)
        stop._happen()
