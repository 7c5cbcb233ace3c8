"""Calibration: how far confidence is from accuracy."""

import numpy as np

from robench.contracts import Outcome

BINS = 15  # of equal width, as in Guo et al.


def ece(outcome: Outcome) -> float:
    """The expected calibration error of the attacked predictions, in 15 bins of confidence.

    Guo et al. (2017, arXiv 1706.04599, equation 3). nan without images, or without confidences.
    """
    if not len(outcome.label):
        return float("nan")
    right = outcome.prediction == outcome.label
    sure = outcome.confidence.astype(np.float64)
    if np.isnan(sure).any():
        return float("nan")
    place = np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)  # bins (lower, upper]
    gaps = np.bincount(place, weights=right - sure, minlength=BINS)
    return float(np.abs(gaps).sum() / len(sure))
