"""NT-Xent, the contrastive loss of SimCLR, over two or more views of a batch."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


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
        joined = torch.cat(views)
        # Half precision would round similarities to three digits; wider types are kept as they are.
        joined = joined if joined.dtype == torch.float64 else joined.float()
        return _nt_xent(joined, len(views), temperature, stop_gradient)


def _nt_xent(joined: Tensor, views: int, temperature: float, stop_gradient: bool) -> Tensor:
    embeddings = normalize(joined, dim=1, eps=1e-8)
    others = embeddings.detach() if stop_gradient else embeddings
    similarity = embeddings @ others.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    total = len(embeddings)
    each = total // views
    anchors = torch.arange(total, device=embeddings.device)
    positives = torch.stack([(anchors + shift * each) % total for shift in range(1, views)])
    attraction = similarity[anchors, positives].sum()
    repulsion = (views - 1) * similarity.logsumexp(1).sum()
    return (repulsion - attraction) / total
