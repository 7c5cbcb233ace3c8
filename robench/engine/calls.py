"""Progress inside an attack: one batch of AutoAttack can take hours."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from torch import nn

from robench.contracts import Progress


@contextmanager
def counted_calls(
    model: nn.Module, each: int, batches: int, progress: Progress, label: str
) -> Iterator[Callable[[], None]]:
    """Show progress with every call of ``model``, of which a batch makes at most ``each``.

    Gives a function to call when a batch begins: the batch before it may have ended early.
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
