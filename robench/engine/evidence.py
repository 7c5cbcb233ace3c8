"""Evidence collected while attacking a batch.

Logits are [B, K], images [B, 3, H, W] in [0, 1]; counts are of images.
"""

from functools import partial
from math import log
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from robench.tensors.ascend import GradientError, ascend
from robench.tensors.balls import Ball, Linf
from robench.tensors.modes import frozen
from robench.trust import flags

CALLS = 64  # of which all agree once in a thousand, if each is another with a chance of 0.1


def determinism(model: nn.Module, images: Tensor, logits: Tensor) -> list[str]:
    """Notes if computing ``logits`` again changes them, or in batches a third as large.

    Two of the images are computed 64 times. Fewer than 4 images are not split.
    """
    with torch.no_grad():
        if differ(model(images), logits) or repeats_differ(model, images[:2], CALLS):
            return [flags.OUTPUTS_CHANGE]  # then every grouping differs too
        parts = images.tensor_split(max(1, min(3, len(images) // 2)))
        regrouped = torch.cat([model(part) for part in parts])
    return [flags.BATCH_MATTERS] if differ(regrouped, logits) else []


def repeats_differ(model: nn.Module, images: Tensor, calls: int) -> bool:
    """Whether the same images have other logits in one of so many further calls."""
    with torch.no_grad():
        first = model(images)
        return any(differ(model(images), first) for _ in range(calls))


class Slope(NamedTuple):
    """How far each image leads to its label, [B], and the gradient of that in its pixels."""

    lead: Tensor
    gradient: Tensor


def slope(model: nn.Module, images: Tensor, labels: Tensor) -> Slope:
    """The lead of the true class's logit over the largest other one, and its gradient.

    Not the cross-entropy: this gradient does not vanish where a softmax saturates, so what is seen
    is the network. Raises GradientError where it is not finite.
    """
    with frozen(model), torch.enable_grad():
        pixels = images.clone().requires_grad_()
        lead = _lead(model(pixels), labels)
        gradient = torch.zeros_like(images)
        if lead.requires_grad:  # something leads back to the pixels
            (gradient,) = torch.autograd.grad(
                lead.sum(), pixels, allow_unused=True, materialize_grads=True
            )
    if not gradient.isfinite().all():
        raise GradientError(images)
    return Slope(lead.detach(), gradient)


def counts(
    model: nn.Module,
    ball: Ball,
    images: Tensor,
    labels: Tensor,
    at: Slope,
    attacked: Tensor,
    generator: Generator,
) -> dict[str, int]:
    """Counts that `robench.trust.flags` draws the lines of an attack within ``ball`` through.

    ``at`` is the slope at ``images``, and ``attacked`` is what the attack made of them.
    """
    standing = ~_fooled(model, labels, attacked)
    right, steepness = at.lead > 0, at.gradient.abs().flatten(1)
    flat = right & (steepness.sum(1) <= flags.FAINT * at.lead)
    still = right & ((steepness == 0).double().mean(1) > flags.STILL_PIXELS)
    fooled = partial(_fooled, model, labels)
    step = ball.project(ball.step(images, -at.gradient, ball.eps), images)
    easy = fooled(step) | fooled(ball.sample(images, generator))
    return {
        flags.FLAT: int(flat.sum()),
        flags.STILL: int((still & ~flat).sum()),
        flags.JAGGED: int((jagged(model, images, labels, at) & right & ~flat).sum()),
        flags.MISSED_EASY: int((standing & easy).sum()),
        flags.MISSED_MARGIN: missed_margin(model, ball, images, labels, attacked),
        flags.MISSED_GREY: missed_grey(model, ball, images, labels, standing),
    }


def jagged(model: nn.Module, images: Tensor, labels: Tensor, at: Slope) -> Tensor:
    """Mark the images [B] whose lead a small step does not move as its gradient predicts.

    The step is half a level of 8 bits in every pixel, against the gradient.
    """
    small = Linf(0.5 / 255)
    moved = small.project(small.step(images, -at.gradient, small.eps), images)
    predicted = ((moved - images) * at.gradient).flatten(1).sum(1)
    with torch.no_grad():
        found = _lead(model(moved), labels) - at.lead
    return (found / predicted - 1).abs() > flags.OFF


def missed_margin(
    model: nn.Module, ball: Ball, images: Tensor, labels: Tensor, attacked: Tensor
) -> int:
    """Count the images that stand though a few steps further, down the margin, fool the model.

    Only where the cross-entropy is a poor guide: it heeds all classes alike where logits are close,
    and has no gradient left where its softmax saturates.
    """
    with torch.no_grad():
        close, lead = spread(model(images)) < flags.CLOSE_SPREAD, _lead(model(attacked), labels)
    left = (lead > 0) & (close | (lead > flags.SATURATED))
    if not left.any():
        return 0
    own = labels[left]
    with frozen(model):
        further = ascend(
            lambda pixels: -_lead(model(pixels), own),
            images[left],
            ball,
            steps=flags.FURTHER_STEPS,
            step_size=ball.eps / flags.FURTHER_STEPS,
            start=attacked[left],
        )
    return int(_fooled(model, own, further).sum())


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
    return int((within & _fooled(model, labels, grey) & standing).sum())


def scale(logits: Tensor) -> dict[str, int]:
    """Count the images whose logits are too close for an attack on the cross-entropy."""
    size = spread(logits)
    unresolved = size < flags.SMALLEST_SPREAD * log(logits.shape[1])
    return {
        flags.UNRESOLVED: int(unresolved.sum()),
        flags.CLOSE: int((size < flags.SMALL_SPREAD).sum()),
    }


def differ(one: Tensor, other: Tensor) -> bool:
    """Whether two computations of the same logits differ by more than float32 rounding."""
    return bool((one - other).abs().amax() > flags.ROUNDING * spread(other).mean())


def spread(logits: Tensor) -> Tensor:
    """The largest logit of each image less its smallest: [B]."""
    return logits.amax(1) - logits.amin(1)


def layer_without_gradient(model: nn.Module, images: Tensor) -> str:
    """Name the layer of ``model`` in which the gradient stops being finite."""
    names = {part: name for name, part in model.named_modules()}
    inside: list[str] = []
    behind: list[str] = []  # both in the order of the backward pass

    def watch(part: nn.Module, given: tuple[object, ...], output: object) -> None:
        text = f"'{names[part]}' ({type(part).__name__})"

        def look(found: list[str], gradient: Tensor) -> None:
            if not gradient.isfinite().all() and text not in behind:
                found.append(text)

        for found, tensors in ((behind, (output,)), (inside, given)):
            for tensor in tensors:
                if isinstance(tensor, Tensor) and tensor.requires_grad:
                    tensor.register_hook(partial(look, found))  # type: ignore[no-untyped-call]

    leaves = [part for part in names if not list(part.children())]
    hooks = [part.register_forward_hook(watch) for part in leaves]
    try:
        with torch.enable_grad():
            pixels = images.clone().requires_grad_()
            torch.autograd.grad(spread(model(pixels)).sum(), pixels, allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
    if inside:
        return f"layer {inside[0]}"
    return f"code behind layer {behind[0]}" if behind else "code before its first layer"


def _lead(logits: Tensor, labels: Tensor) -> Tensor:
    true = logits.gather(1, labels[:, None])[:, 0]
    return true - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def _fooled(model: nn.Module, labels: Tensor, images: Tensor) -> Tensor:
    with torch.no_grad():
        fooled: Tensor = model(images).argmax(1) != labels
    return fooled
