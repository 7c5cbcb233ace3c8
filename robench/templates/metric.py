"""My metric: how sure the model is where it is wrong."""

import numpy as np

from robench.contracts import Outcome


def my_metric(outcome: Outcome) -> float:
    """The mean confidence of wrong predictions: `robench ls metrics` shows this line.

    nan where no image is wrong, or confidences were not recorded.
    """
    # An outcome has one value an image: label, clean_prediction, prediction, size, confidence and
    # more. The number is a column of results.csv, of results that are stored already, too.
    wrong = outcome.prediction != outcome.label
    if not wrong.any():
        return float("nan")
    return float(outcome.confidence[wrong].astype(np.float64).mean())
