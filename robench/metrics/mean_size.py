"""The mean size of the perturbations."""

import numpy as np

from robench.contracts import Outcome


def mean_size(outcome: Outcome) -> float:
    """The mean perturbation size in the attack's norm, in pixels of [0, 1]; nan without images."""
    return float(outcome.size.mean(dtype=np.float64)) if len(outcome.size) else float("nan")
