"""NT-Xent, the contrastive loss of SimCLR, over two or more views of a batch."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def nt_xent(views: list[Tensor], temperature: float, *, stop_gradient: bool = False) -> Tensor:
    """The mean over all embeddings of the cross-entropy between each one and its positives.

    ``views`` are V embeddings [N, D] of the same N images. With two views this is equation 1 of SimCLR (Chen et al.
    2020), averaged over the 2N anchors. With more, each anchor has V - 1 positives whose terms are *summed*, every other
    embedding is in the denominator (the anchor's other positives too), and the sum is divided by V N: RoCL's three-view
    loss (Kim et al. 2020, src/loss.py:61-84).

    ``stop_gradient`` lets gradients reach the anchor's side of each similarity only (RoCL's src/loss.py:55); the value
    stays the same.
    """
    embeddings = normalize(torch.cat(views), dim=1, eps=1e-8)
    others = embeddings.detach() if stop_gradient else embeddings
    similarity = embeddings @ others.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    total, each = len(embeddings), len(views[0])
    anchors = torch.arange(total, device=embeddings.device)
    positives = torch.stack([(anchors + shift * each) % total for shift in range(1, len(views))])
    attraction = similarity[anchors, positives].sum()
    repulsion = (len(views) - 1) * similarity.logsumexp(1).sum()
    return (repulsion - attraction) / total
