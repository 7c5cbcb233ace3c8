"""Evidence collected while attacking a batch.

Logits are [B, K], images [B, 3, H, W] in [0, 1]; counts are of images.
"""

from math import log

import torch
from torch import Tensor, nn

from robench.tensors.balls import Ball
from robench.tensors.modes import frozen
from robench.trust import flags

_CALLS = 64  # of which all agree once in a thousand, if each is another with a chance of 0.1


def determinism(model: nn.Module, images: Tensor, logits: Tensor) -> list[str]:
    """Notes if computing ``logits`` again changes them, or in batches a third as large.

    Two of the images are computed 64 times. Fewer than 4 images are not split.
    """
    with torch.no_grad():
        few = images[:2]
        answer = model(few)
        changed = differ(model(images), logits)
        if changed or any(differ(model(few), answer) for _ in range(_CALLS)):
            return [flags.OUTPUTS_CHANGE]  # then every grouping differs too
        parts = images.tensor_split(max(1, min(3, len(images) // 2)))
        regrouped = torch.cat([model(part) for part in parts])
    return [flags.BATCH_MATTERS] if differ(regrouped, logits) else []


def counts(
    model: nn.Module, ball: Ball, images: Tensor, labels: Tensor, logits: Tensor, standing: Tensor
) -> dict[str, int]:
    """Counts that `robench.trust.flags` draws the lines of an attack within ``ball`` through.

    ``logits`` are those of the clean images; ``standing`` marks the images that are still
    classified correctly after the attack.
    """
    return {
        flags.FLAT: without_gradient(model, images, labels),
        flags.UNRESOLVED: unresolved(logits),
        flags.MISSED_GREY: missed_grey(model, ball, images, labels, standing),
    }


def differ(one: Tensor, other: Tensor) -> bool:
    """Whether two computations of the same logits differ by more than float32 rounding."""
    return bool((one - other).abs().amax() > flags.ROUNDING * spread(other).mean())


def spread(logits: Tensor) -> Tensor:
    """The largest logit of each image less its smallest: [B]."""
    return logits.amax(1) - logits.amin(1)


def margin(logits: Tensor) -> Tensor:
    """The largest logit of each image less the second largest: [B]."""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return first - second


def unresolved(logits: Tensor) -> int:
    """Count the images whose cross-entropy, or its gradient, float32 cannot resolve."""
    flat = spread(logits) < flags.SMALLEST_SPREAD * log(logits.shape[1])
    return int((flat | (margin(logits) > flags.LARGEST_MARGIN)).sum())


def without_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    """Count the images, classified correctly, whose margin has no gradient in any pixel.

    The margin and not the cross-entropy: its gradient does not vanish where a softmax saturates, so
    what is counted is the network.
    """
    with frozen(model), torch.enable_grad():
        pixels = images.clone().requires_grad_()
        logits = model(pixels)
        true = logits.gather(1, labels[:, None])[:, 0]
        others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
        lead = true - others
        if not lead.requires_grad:  # nothing leads back to the pixels
            return int((lead > 0).sum())
        (gradient,) = torch.autograd.grad(
            lead.sum(), pixels, allow_unused=True, materialize_grads=True
        )
    flat = gradient.flatten(1).abs().amax(1) == 0
    return int((flat & (lead > 0)).sum())


def missed_grey(
    model: nn.Module, ball: Ball, images: Tensor, labels: Tensor, standing: Tensor
) -> int:
    """Count the images ``standing`` after an attack, though grey is in their ball and fools.

    At such radii every image can be made the same plain grey one, and the model has only one answer
    to that.
    """
    grey = torch.full_like(images, 0.5)
    within = ball.size(grey, images) <= ball.eps
    if not within.any():
        return 0
    with torch.no_grad():
        fooled = model(grey).argmax(1) != labels
    return int((within & fooled & standing).sum())
