"""Signals that wait until the work is at a point where it can stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """A signal that came and waits. A second one does not wait."""

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._waiting: tuple[int, FrameType | None] | None = None

    @property
    def asked(self) -> bool:
        """Whether a signal waits."""
        return self._waiting is not None

    def happen(self) -> None:
        """Let the signal that waits do what it does, such as raise KeyboardInterrupt."""
        if self._waiting is not None:
            (number, frame), self._waiting = self._waiting, None
            self._handlers[number](number, frame)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self._waiting is None:
            self._waiting = number, frame
        else:
            self._waiting = None
            self._handlers[number](number, frame)


@contextmanager
def at_safe_points() -> Iterator[Stop]:
    """Within, Ctrl-C and SIGTERM wait until the work calls `Stop.happen`, or to the end.

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
        stop.happen()
