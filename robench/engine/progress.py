"""How far long work is, on a terminal; silence elsewhere."""

from collections.abc import Iterable, Sequence

from tqdm import tqdm

from robench.contracts import Item


def bar(items: Sequence[Item], label: str) -> Iterable[Item]:
    """Hand the items on under a bar with the time left, which goes when they end.

    Silent where there is no terminal.
    """
    # disable=None is tqdm's word for "where standard error is no terminal".
    yield from tqdm(items, desc=label, leave=False, disable=None, dynamic_ncols=True)


def silent(items: Sequence[Item], label: str) -> Iterable[Item]:
    """Hand the items on and show nothing."""
    return items
