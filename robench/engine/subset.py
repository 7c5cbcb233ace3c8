"""A fixed part of a split, the same for every method, seed and attack."""

import numpy as np
import numpy.typing as npt

from robench.contracts import Data
from robench.data.splits import take

_SEED = 20201021


def rows(total: int, count: int | None) -> npt.NDArray[np.int64]:
    """Which ``count`` of ``total`` rows make the subset, ascending; all where ``count`` is None.

    The choice is random with a fixed seed, since data sets may be sorted by class; a smaller subset
    lies in a larger one.
    """
    if count is None or count >= total:
        return np.arange(total)
    # Raw bits: numpy keeps a bit generator's stream across versions, but not its methods'.
    ticket = np.random.PCG64(_SEED).random_raw(total)
    return np.sort(np.argsort(ticket, kind="stable")[:count])


def training_subset(data: Data, count: int | None) -> Data:
    """The data with ``count`` training images in all; the held-out part keeps its share."""
    total = len(data.train) + len(data.held_out)
    if count is None or count >= total:
        return data
    held = round(count * len(data.held_out) / total)
    return Data(
        take(data.train, rows(len(data.train), count - held)),
        take(data.held_out, rows(len(data.held_out), held)),
        data.test,
        data.classes,
    )
