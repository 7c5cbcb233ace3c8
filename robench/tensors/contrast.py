"""Contrastive losses over embeddings of unit length: NT-Xent, InfoNCE and instance spreading.

Within `across_ranks` they are of the batches of all processes.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from robench.tensors.ranks import gathered


def nt_xent(views: list[Tensor], temperature: float, *, stop_gradient: bool = False) -> Tensor:
    """The mean over all embeddings of the cross-entropy between each one and its positives.

    ``views`` are V embeddings [N, D] of the same N images. With two views this is equation 1 of
    SimCLR (Chen et al. 2020), averaged over the 2N anchors. With more, each anchor has V - 1
    positives whose terms are *summed*, every other embedding is in the denominator (the anchor's
    other positives too), and the sum is divided by V N: RoCL's three-view loss (Kim et al. 2020,
    src/loss.py:61-84).

    ``stop_gradient`` lets gradients reach the anchor's side of each similarity only (RoCL's
    src/loss.py:55); the value stays the same.
    """
    with torch.autocast(views[0].device.type, enabled=False):
        whole = torch.cat([gathered(view) for view in views])
        similarity = _similarities(whole, temperature, stop_gradient)
        total = len(similarity)
        each = total // len(views)
        anchors = torch.arange(total, device=similarity.device)
        shifts = range(1, len(views))
        positives = torch.stack([(anchors + shift * each) % total for shift in shifts])
        attraction = similarity[anchors, positives].sum()
        repulsion = len(shifts) * similarity.logsumexp(1).sum()
        return (repulsion - attraction) / total


def info_nce(anchors: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """The mean cross-entropy of each anchor [N, D] against the N keys, its own the right one.

    -mean_i log softmax_j(a_i . k_j / temperature)_i: anchors are never compared with each other,
    nor keys with all anchors. CLAE's Plain branch (Plain/main.py:69-83).
    """
    anchors, keys = gathered(anchors), gathered(keys)
    with torch.autocast(anchors.device.type, enabled=False):
        double = torch.float64 in (anchors.dtype, keys.dtype)
        wide = torch.float64 if double else torch.float32
        similarity = _unit(anchors.to(wide)) @ _unit(keys.to(wide)).T / temperature
        return cross_entropy(similarity, torch.arange(len(anchors), device=anchors.device))


def instance_spreading(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Minus the mean, over both views, of log p(own) + sum over the others of log(1 - p(other)).

    ``first`` and ``second`` are embeddings [N, D] of the same N images. p is the softmax over the
    2N - 1 other embeddings, by ``temperature``; gradients reach the anchor's side of each
    similarity only. UEL (Ye et al. 2019, arXiv 1904.03436; CLAE's UEL/BatchAverage.py:30-71).
    """
    first, second = gathered(first), gathered(second)
    with torch.autocast(first.device.type, enabled=False):
        similarity = _similarities(torch.cat([first, second]), temperature, stop_gradient=True)
        total = len(similarity)
        rows = torch.arange(total, device=similarity.device)
        own = (rows + total // 2) % total
        log_p = similarity.log_softmax(1)
        # Masked before log(1 - p), which is infinite where the right one is all but certain.
        others = log_p.scatter(1, own[:, None], -torch.inf)
        return -(log_p[rows, own].sum() + torch.log1p(-others.exp()).sum()) / total


def _similarities(joined: Tensor, temperature: float, stop_gradient: bool) -> Tensor:
    """Cosines over the temperature, [n, n], with -inf on the diagonal."""
    embeddings = _unit(joined)
    others = embeddings.detach() if stop_gradient else embeddings
    return (embeddings @ others.T / temperature).fill_diagonal_(-torch.inf)


def mean_cosine(first: Tensor, second: Tensor) -> Tensor:
    """The mean cosine between the rows of two matrices [N, D]."""
    with torch.autocast(first.device.type, enabled=False):
        return (_unit(first) * _unit(second)).sum(1).mean()


def unit_length(embeddings: Tensor) -> Tensor:
    """Embeddings [N, D] scaled to length 1, whatever theirs is; only zero stays zero."""
    # The smallest length whose square does not vanish.
    return normalize(embeddings, dim=1, eps=torch.finfo(embeddings.dtype).tiny ** 0.5)


def precise(embeddings: Tensor) -> Tensor:
    """Half precision, which would round similarities to three digits, as float32."""
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()


def _unit(embeddings: Tensor) -> Tensor:
    return unit_length(precise(embeddings))
