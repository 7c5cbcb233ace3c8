"""Wrong labels for a probe, in the field's three ways; the images stay."""

import numpy as np
import numpy.typing as npt

from robench.contracts import Data, ProbeError, Split
from robench.grid.spec import Spec

_SEED = 20231017
_CONFUSED = {  # DivideMix's dataloader_cifar.py, for CIFAR-10's classes
    **{"truck": "automobile", "bird": "airplane", "deer": "horse"},
    **{"cat": "dog", "dog": "cat"},
}

Labels = npt.NDArray[np.int64]


def mislabelled(data: Data, noise: Spec) -> tuple[Data, int]:
    """The data with the labels that the ``noise`` leaves to a probe, and how many differ.

    A share ``rate`` of the images, the same for every method, is relabelled: ``sym`` with any
    class, the true one included, ``sym-ex`` with any other, ``asym`` as DivideMix confuses
    CIFAR-10's classes. A lower rate relabels some of the same images alike. Raises ProbeError for
    classes that ``asym`` does not know.
    """
    labels = np.concatenate([data.train.labels, data.held_out.labels])
    made = labels.copy()
    # Raw bits: numpy keeps a bit generator's stream across versions, but not its methods'.
    order, draws = np.random.PCG64(_SEED).random_raw(2 * len(labels)).reshape(2, -1)
    rate, classes = float(noise.get("rate") or 0), len(data.classes)
    rows = np.argsort(order, kind="stable")[: round(rate * len(labels))]
    match noise.name:
        case "sym":
            made[rows] = draws[rows] % classes
        case "sym-ex":
            made[rows] = (labels[rows] + 1 + (draws[rows] % (classes - 1)).astype(int)) % classes
        case _:
            made[rows] = _confusions(data.classes)[labels[rows]]
    cut = len(data.train)
    train = Split(data.train.images, made[:cut])
    held_out = Split(data.held_out.images, made[cut:])
    return Data(train, held_out, data.test, data.classes), int((made != labels).sum())


def _confusions(classes: tuple[str, ...]) -> Labels:
    if not set(_CONFUSED) | set(_CONFUSED.values()) <= set(classes):
        raise ProbeError("label noise asym is known for CIFAR-10's classes only; use sym or sym-ex")
    return np.array([classes.index(_CONFUSED.get(name, name)) for name in classes])
