"""Measures of features alone, float64 [n, D]; each takes them to unit length first."""

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float64]

_RESTARTS, _STEPS = 10, 100  # of k-means
_AT_ONCE = 512  # rows of a matrix of distances


def unit(features: Features) -> Features:
    """Features at length 1; a row of zeros stays."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(lengths > 0, lengths, 1))


def alignment(first: Features, second: Features) -> float:
    """The mean squared distance of two views of an image; less is better.

    Wang & Isola (2020, arXiv 2005.10242, section 4.1), alpha 2.
    """
    return float(np.square(unit(first) - unit(second)).sum(1).mean())


def uniformity(features: Features) -> float:
    """The logarithm of the mean of exp(-2 d^2) over pairs of images; less is better (same paper).

    Needs two images.
    """
    x, n = unit(features), len(features)
    total = 0.0
    for start in range(0, n, _AT_ONCE):
        total += float(np.exp(-2 * _squared(x[start : start + _AT_ONCE], x)).sum())
    return float(np.log((total - n) / (n * (n - 1))))  # without the n pairs of an image with itself


def rank_me(features: Features) -> float:
    """RankMe: the exponential of the entropy of the singular values' shares, from 1 to D.

    Garrido et al. (2023, arXiv 2210.02885, equation 1), neither squared nor centred.
    """
    values = np.linalg.svd(unit(features), compute_uv=False)
    shares = values / values.sum() + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


def intrinsic_dimension(features: Features) -> float:
    """TwoNN: n over the sum of log(second / nearest distance), the maximum of its likelihood.

    Facco et al. (2017, arXiv 1803.06992, equation 1). Images that share their features are counted
    once; nan for fewer than three.
    """
    x = np.unique(unit(features), axis=0)
    if len(x) < 3:
        return float("nan")
    logarithms = []
    for start in range(0, len(x), _AT_ONCE):
        distances = _squared(x[start : start + _AT_ONCE], x)
        np.fill_diagonal(distances[:, start:], np.inf)
        near = np.partition(distances, 1, axis=1)[:, :2]
        with np.errstate(divide="ignore"):
            logarithms.append(np.log(near[:, 1] / near[:, 0]) / 2)
    known = np.concatenate(logarithms)
    known = known[np.isfinite(known)]
    return float(len(known) / known.sum()) if known.sum() > 0 else float("nan")


def cluster_learnability(features: Features, generator: np.random.Generator) -> float:
    """How well a nearest neighbour in one half of the images knows the cluster of the other half.

    K-means with the square root of n clusters, ten restarts; the mean over both directions of
    1-NN accuracy (Lu et al. 2023, arXiv 2206.01251; K as in implementations of others, as the
    authors have published none). Features without any structure, and constant ones, have a high
    value: read it beside the intrinsic dimension and RankMe.
    """
    x = unit(features)
    clusters = k_means(x, int(np.sqrt(len(x))), generator)
    order = generator.permutation(len(x))
    halves = order[: len(x) // 2], order[len(x) // 2 :]
    shares = []
    for known, asked in (halves, halves[::-1]):
        for start in range(0, len(asked), _AT_ONCE):
            rows = asked[start : start + _AT_ONCE]
            nearest = known[_squared(x[rows], x[known]).argmin(1)]
            shares.append((clusters[nearest] == clusters[rows]).sum())
    return float(sum(shares) / len(x))


def k_means(x: Features, k: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """The cluster of each row, of the best of ten runs of Lloyd's algorithm from k-means++."""
    best, found = np.inf, np.zeros(len(x), np.int64)
    for _ in range(_RESTARTS):
        centres = x[[generator.integers(len(x))]]
        while len(centres) < k:
            gaps = _squared(x, centres).min(1)
            chances = gaps / gaps.sum() if gaps.sum() > 0 else None
            centres = np.concatenate([centres, x[[generator.choice(len(x), p=chances)]]])
        before = None
        for _ in range(_STEPS):
            distances = _squared(x, centres)
            own = distances.argmin(1)
            if before is not None and (own == before).all():
                break
            before = own
            counts = np.bincount(own, minlength=k)[:, None]
            sums = np.zeros_like(centres)
            np.add.at(sums, own, x)
            centres = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
        spread = float(distances[np.arange(len(x)), own].sum())
        if spread < best:
            best, found = spread, own
    return found


def _squared(a: Features, b: Features) -> Features:
    """Squared distances [len(a), len(b)], never below 0."""
    sums = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return np.asarray(np.maximum(sums, 0))
