"""A fixed part of a split, the same for every method, seed and attack."""

import numpy as np
import numpy.typing as npt

from robench.contracts import Data
from robench.data.splits import take

_SEED = 20201021


def rows(total: int, count: int | None = None) -> npt.NDArray[np.int64]:
    """The first ``count`` of ``total`` rows in a fixed random order; all where it is None.

    Data sets may be sorted by class. A smaller subset is the beginning of a larger one.
    """
    # Raw bits: numpy keeps a bit generator's stream across versions, but not its methods'.
    ticket = np.random.PCG64(_SEED).random_raw(total)
    return np.argsort(ticket, kind="stable")[:count]


def training_subset(data: Data, count: int | None) -> Data:
    """The data with ``count`` training images in all; the held-out part keeps its share."""
    total = len(data.train) + len(data.held_out)
    if count is None or count >= total:
        return data
    held = round(count * len(data.held_out) / total)
    return Data(
        take(data.train, np.sort(rows(len(data.train), count - held))),
        take(data.held_out, np.sort(rows(len(data.held_out), held))),
        data.test,
        data.classes,
    )
