"""Progress bars on a terminal and in a notebook; silence elsewhere."""

import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from torch import nn
from tqdm.auto import tqdm

from robench.contracts import Item, Progress
from robench.grid.spec import printable


def bar(items: Sequence[Item], label: str) -> Iterable[Item]:
    """Hand the items on under a bar with the time left, which goes when they end.

    Silent where there is neither a terminal nor a notebook.
    """
    # disable=None is tqdm's word for "where standard error is no terminal".
    hide = False if "ipykernel" in sys.modules else None
    yield from tqdm(items, desc=printable(label), leave=False, disable=hide, dynamic_ncols=True)


@runtime_checkable
class Planned(Protocol):
    """Progress that knows of the work to come, and so shows the whole of it."""

    def plan(self, parts: Sequence[tuple[str, float]]) -> None:
        """Take the label of each part of the work, and roughly its seconds."""

    def follow(self, label: str, done: int, total: int) -> None:
        """Take how far a part is, maybe in another process."""

    def finish(self, label: str) -> None:
        """Take that a part has ended."""

    def __call__(self, items: Sequence[Item], label: str) -> Iterable[Item]: ...


def duration(seconds: float) -> str:
    """The seconds in words: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 100 else f"{hours:,.0f} h"


def silent(items: Sequence[Item], label: str) -> Iterable[Item]:
    """Hand the items on and show nothing."""
    return items


@contextmanager
def counted_calls(
    model: nn.Module, each: int, batches: int, progress: Progress, label: str
) -> Iterator[Callable[[], None]]:
    """Show progress with every call of ``model``, of which a batch makes at most ``each``.

    Yields a function to call when a batch begins: the batch before it may have ended early.
    """
    ticks = iter(progress(range(each * batches), label))
    batch = islice(ticks, 0)

    def begin() -> None:
        nonlocal batch
        deque(batch, maxlen=0)
        batch = islice(ticks, each)

    def count(*_: Any) -> None:
        next(batch, None)

    hook = model.register_forward_pre_hook(count)
    try:
        yield begin
    finally:
        hook.remove()
        deque(ticks, maxlen=0)
