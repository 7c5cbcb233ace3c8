"""InfoNCE in one direction: each anchor finds its own among the keys of a batch."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def info_nce(anchors: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """The mean cross-entropy of each anchor [N, D] against the N keys, its own the right one.

    -mean_i log softmax_j(a_i . k_j / temperature)_i over embeddings of unit length: anchors are
    never compared with each other, nor keys with all anchors. CLAE's Plain branch
    (Plain/main.py:69-83).
    """
    with torch.autocast(anchors.device.type, enabled=False):
        # Half precision would round similarities to three digits; wider types are kept as they are.
        double = torch.float64 in (anchors.dtype, keys.dtype)
        wide = torch.float64 if double else torch.float32
        first, second = (normalize(x.to(wide), dim=1, eps=1e-8) for x in (anchors, keys))
        similarity = first @ second.T / temperature
        return cross_entropy(similarity, torch.arange(len(first), device=first.device))
