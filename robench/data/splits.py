"""The rule by which training images are held out, the same for every data set."""

import hashlib

import numpy as np
import numpy.typing as npt

from robench.contracts import Data, DataError, Split

HELD_OUT = 10  # one training image in ten
_SEED = 20200627

Rows = npt.NDArray[np.int64]


def hold_out(labels: npt.NDArray[np.int64], share: int = HELD_OUT) -> tuple[Rows, Rows]:
    """Return the rows that stay and the rows held out: one in ``share`` of every class.

    Both are sorted and share no row. A class of at least two rows holds out at least one, a class
    of a single row none. The same labels (int64 [n]) always give the same rows.
    """
    # Raw bits, not Generator.permutation: numpy keeps a bit generator's stream across versions, but
    # not its methods'.
    ticket = np.random.PCG64(_SEED).random_raw(len(labels))
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = max(1, len(rows) // share) if len(rows) > 1 else 0
        held[rows[np.argsort(ticket[rows], kind="stable")[:count]]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def digest(split: Split, index: Rows | slice = slice(None)) -> str:
    """Return the SHA-256 of the images and labels in these rows."""
    sha256 = hashlib.sha256(np.asarray(split.images[index]).tobytes())
    sha256.update(np.asarray(split.labels[index]).tobytes())
    return sha256.hexdigest()


def take(split: Split, rows: Rows) -> Split:
    """Return the images and labels of these rows, in this order."""
    return Split(split.images[rows], split.labels[rows])


def by_content(split: Split) -> Split:
    """Sort the images in an order that depends on their pixels alone, and looks random.

    So their source layout changes no result, and the first N images are a fair sample.
    """
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in split.images]
    order = sorted(range(len(split)), key=lambda row: (digests[row], split.labels[row]))
    return take(split, np.array(order, dtype=np.int64))


def in_three(
    train: Split, test: Split, classes: tuple[str, ...], held_out: Split | None = None
) -> Data:
    """Make the data set of three parts, each in the order of `by_content`.

    Without a ``held_out`` part of its own, `hold_out` cuts one from ``train``. Raises DataError
    where nothing could be held out, because no class has two training images.
    """
    train = by_content(train)
    if held_out is None:
        kept, held = hold_out(train.labels)
        if len(held) == 0:
            raise DataError(
                f"no class has two of the {len(train)} training images, so none can be held out; "
                "add images to train"
            )
        train, held_out = take(train, kept), take(train, held)
    else:
        held_out = by_content(held_out)
    return Data(train, held_out, by_content(test), classes)
