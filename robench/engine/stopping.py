"""Signals that wait until the work can stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from robench.store.checkpoints import SafePoint

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def at_safe_points() -> Iterator[SafePoint]:
    """Let Ctrl-C and SIGTERM wait until the work calls the safe point, or the block ends.

    A second signal does not wait. Only a signal with a handler in Python waits, and only in the
    main thread, which runs them.
    """
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
    waiting: list[int] = []

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def hold(number: int, frame: FrameType | None) -> None:
        waiting.append(number)
        restore()

    def safe_point(save: Callable[[], None]) -> None:
        if waiting:
            save()
            signal.raise_signal(waiting.pop())

    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, hold)
    try:
        yield safe_point
    finally:
        restore()
        safe_point(lambda: None)
