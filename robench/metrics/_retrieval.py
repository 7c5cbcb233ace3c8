"""Retrieval of images of the same class by the cosine of features."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robench.metrics._representation import Features, unit

_AT_ONCE = 256
FIRST = 100


class Retrieval(NamedTuple):
    """Means over queries: average precision, that of the first 100, and precisions at 1, 5, 10."""

    mean_ap: float
    mean_ap_100: float
    p_1: float
    p_5: float
    p_10: float


def retrieval(
    queries: Features,
    index: Features,
    labels: npt.NDArray[np.int64],
    generator: np.random.Generator,
) -> Retrieval:
    """Rank all other images of the ``index`` for each query, row by row the same image.

    Relevant is what has the query's class; queries without any are left out. Average precision is
    by the trapezoid, as InsCLR's code has it (image_search_evaluation.py:173-195 of its
    repository): a random order of CIFAR-10's test set gives .100, of CIFAR-100's .0103. That of the
    first 100 is by steps, over the relevant ones among them, as in papers on hashing. Equal
    similarities are ordered by a seeded permutation, so that constant features are a random order.
    """
    order = generator.permutation(len(index))
    a, b, shuffled = unit(queries), unit(index)[order], labels[order]
    found = []
    for start in range(0, len(a), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(a)))
        similar = np.round(a[rows] @ b.T, 12)  # equal features differ by rounding alone
        similar[order == rows[:, None]] = -np.inf  # an image is not retrieved for itself
        ranked = np.argsort(-similar, axis=1, kind="stable")[:, :-1]
        relevant = shuffled[ranked] == labels[rows][:, None]
        found.append(_measures(relevant[relevant.any(1)]))
    return Retrieval(*(float(one) for one in np.concatenate(found).mean(0)))


def _measures(relevant: npt.NDArray[np.bool_]) -> Features:
    """The measures [queries, 5] of ranks, where it is said of each whether it is relevant."""
    hits, ranks = relevant.cumsum(1), np.arange(relevant.shape[1])
    before = np.where(ranks == 0, 1.0, (hits - relevant) / np.maximum(ranks, 1))
    trapezoid = np.where(relevant, (before + hits / (ranks + 1)) / 2, 0).sum(1) / hits[:, -1]
    steps = np.where(relevant, hits / (ranks + 1), 0)[:, :FIRST].sum(1)
    first = steps / np.maximum(1, relevant[:, :FIRST].sum(1))
    precisions = [relevant[:, :k].mean(1) for k in (1, 5, 10)]
    return np.stack([trapezoid, first, *precisions], axis=1)
