"""The loss of TRADES and its adversary (Zhang et al. 2019, arXiv 1901.08573)."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from robench.tensors.ascend import Climb

_NOISE = 0.001  # where the climb starts: at the image itself the gradient is rounding noise


def trades(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    adversary: Tensor,
    labels: Tensor,
    beta: float,
) -> Tensor:
    """Cross-entropy, and ``beta`` times how far the adversary moves the prediction, over the batch.

    Equation 5, in the model's own mode: in train mode, clean and adversarial images are two
    BatchNorm batches (TRADES' trades.py:80-88, ACL's trades.py:90-109).
    """
    logits = model(images)
    moved = _divergence(model(adversary), log_softmax(logits, 1))
    return cross_entropy(logits, labels) + beta * moved / len(images)


def trades_adversary(
    model: Callable[[Tensor], Tensor], images: Tensor, climb: Climb, generator: Generator
) -> Tensor:
    """Images [B, 3, H, W] pushed away from the model's own prediction on ``images``.

    From normal noise of 0.001 (TRADES' trades.py:37-50, ACL's trades.py:60-85). The model is in
    eval mode, and its parameters need no gradient.
    """
    noise = torch.empty_like(images).normal_(generator=generator)
    with torch.no_grad():
        target = log_softmax(model(images), 1)
    return climb(
        lambda attacked: _divergence(model(attacked), target),
        images,
        start=images + _NOISE * noise,
    )


def _divergence(logits: Tensor, target: Tensor) -> Tensor:
    """KL(target || logits), summed over images; ``target`` are log-probabilities [B, K]."""
    return kl_div(log_softmax(logits, 1), target, reduction="sum", log_target=True)
