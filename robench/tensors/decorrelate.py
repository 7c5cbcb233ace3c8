"""Statistics of embeddings over a batch, from which redundancy and collapse are measured.

Within `across_ranks` it is the batch of all processes.
"""

import torch
from torch import Tensor
from torch.nn.functional import relu

from robench.tensors.contrast import precise
from robench.tensors.ranks import gathered

_EPS = 1e-5, 1e-4  # of BatchNorm in Barlow Twins' main.py:214, and of VICReg's main_vicreg.py:205


def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """The correlation of each output of ``first`` [N, D] with each of ``second``: [D, D]."""
    with torch.autocast(first.device.type, enabled=False):
        one, other = (_standardised(precise(gathered(part))) for part in (first, second))
        return one.T @ other / len(one)


def narrowness(embeddings: Tensor) -> Tensor:
    """The mean over the outputs of max(0, 1 - standard deviation over the batch)."""
    with torch.autocast(embeddings.device.type, enabled=False):
        return relu(1 - (precise(gathered(embeddings)).var(0) + _EPS[1]).sqrt()).mean()


def redundancy(embeddings: Tensor) -> Tensor:
    """The sum of the squared covariances of two different outputs, by the number of outputs."""
    with torch.autocast(embeddings.device.type, enabled=False):
        whole = precise(gathered(embeddings))
        centred = whole - whole.mean(0)
        covariance = centred.T @ centred / (len(centred) - 1)
        others = covariance.square().sum() - covariance.diagonal().square().sum()
        return others / len(covariance)


def _standardised(embeddings: Tensor) -> Tensor:
    variance = embeddings.var(0, unbiased=False)
    return (embeddings - embeddings.mean(0)) / (variance + _EPS[0]).sqrt()
