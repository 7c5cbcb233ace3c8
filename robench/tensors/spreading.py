"""The instance-spreading loss of UEL: attract one's own view, and be told apart from all others."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def instance_spreading(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Minus the mean, over both views, of log p(own) + sum over the others of log(1 - p(other)).

    ``first`` and ``second`` are embeddings [N, D] of the same N images. p is the softmax over the
    2N - 1 other embeddings of unit length, by ``temperature``; gradients reach the anchor's side
    of each similarity only (Ye et al. 2019, arXiv 1904.03436; CLAE's UEL/BatchAverage.py:30-71).
    """
    with torch.autocast(first.device.type, enabled=False):
        joined = torch.cat([first, second])
        # Half precision would round similarities to three digits; wider types are kept as they are.
        joined = joined if joined.dtype == torch.float64 else joined.float()
        embeddings = normalize(joined, dim=1, eps=1e-8)
        total = len(embeddings)
        rows = torch.arange(total, device=embeddings.device)
        own = (rows + total // 2) % total
        similarity = (embeddings @ embeddings.detach().T / temperature).fill_diagonal_(-torch.inf)
        log_p = similarity.log_softmax(1)
        # Left out before log(1 - p), which is infinite where the right one is all but certain.
        others = log_p.scatter(1, own[:, None], -torch.inf)
        return -(log_p[rows, own].sum() + torch.log1p(-others.exp()).sum()) / total
