"""The three losses written out slowly, from the papers and the authors' code, to compare with.

Nothing of robench is used: the network is four formulas over a dictionary of float64 tensors, with
BatchNorm in full, and the contrastive loss is a loop over its anchors.
"""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor
from torch.nn.functional import conv2d

Weights = Mapping[str, Tensor]


def embed(weights: Weights, images: Tensor, branch: str = "", running: bool = False) -> Tensor:
    """Two convolutions, each with BatchNorm and tanh, the mean over pixels, and the projector."""
    x = conv2d(images, weights["encoder.first.weight"], padding=1)
    x = batch_norm(weights, f"encoder.norm1.{branch}", x, running).tanh()
    x = conv2d(x, weights["encoder.second.weight"], stride=2)
    x = batch_norm(weights, f"encoder.norm2.{branch}", x, running).tanh()
    x = x.mean((2, 3))
    x = (x @ weights["projector.0.weight"].T + weights["projector.0.bias"]).clamp(min=0)
    return x @ weights["projector.2.weight"].T + weights["projector.2.bias"]


def batch_norm(weights: Weights, name: str, x: Tensor, running: bool) -> Tensor:
    if running:
        mean, variance = weights[f"{name}running_mean"], weights[f"{name}running_var"]
    else:
        mean = x.mean((0, 2, 3))
        variance = ((x - each(mean)) ** 2).mean((0, 2, 3))
    unit = (x - each(mean)) / (each(variance) + 1e-5).sqrt()
    return unit * each(weights[f"{name}weight"]) + each(weights[f"{name}bias"])


def each(channels: Tensor) -> Tensor:
    return channels[None, :, None, None]


def nt_xent(views: list[Tensor], temperature: float, constant_keys: bool = False) -> Tensor:
    """The sum over anchors and their positives, by the number of anchors."""
    points = torch.cat(views)
    unit = points / (points**2).sum(1, keepdim=True).sqrt()
    keys = unit.detach() if constant_keys else unit
    total, images = len(points), len(views[0])
    terms = []
    for i in range(total):
        scores = [(unit[i] * keys[k]).sum() / temperature for k in range(total)]
        others = torch.stack([scores[k].exp() for k in range(total) if k != i]).sum()
        for j in range(total):
            if j != i and j % images == i % images:
                terms.append(-(scores[j].exp() / others).log())
    return torch.stack(terms).sum() / total


def plain(weights: Weights, first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR: both views in one batch."""
    joined = embed(weights, torch.cat([first, second]))
    return nt_xent([joined[: len(first)], joined[len(first) :]], temperature)


def clae(
    weights: Weights,
    first: Tensor,
    second: Tensor,
    *,
    temperature: float,
    eps: float,
    alpha: float,
) -> tuple[Tensor, Tensor]:
    """CLAE's SimCLR branch, SimCLR/main.py:48-83: the loss and the adversary."""
    anchor, other = embed(weights, first, "clean."), embed(weights, second, "clean.")
    moved = first.clone().requires_grad_()
    constant = embed(weights, first, "adversarial.").detach()
    climbed = nt_xent([constant, embed(weights, moved, "adversarial.")], temperature)
    (gradient,) = torch.autograd.grad(climbed, moved)
    adversary = first + eps * gradient.sign()
    attacked = embed(weights, adversary, "adversarial.")
    loss = nt_xent([anchor, other], temperature) + alpha * nt_xent([anchor, attacked], temperature)
    return loss, adversary


def rocl(
    weights: Weights,
    first: Tensor,
    second: Tensor,
    generator: Generator,
    *,
    temperature: float,
    eps: float,
    step_size: float,
    steps: int,
    lamda: float,
    constant_keys: bool,
) -> tuple[Tensor, Tensor]:
    """RoCL, src/attack_lib.py:121-177 and src/rocl_train.py:135-157: the loss and the adversary."""
    noise = torch.empty_like(first).uniform_(-eps, eps, generator=generator)
    x = (first + noise).clamp(0, 1)
    for _ in range(steps):
        x = x.detach().requires_grad_()
        both = embed(weights, torch.cat([x, second]), running=True)
        climbed = nt_xent([both[: len(x)], both[len(x) :]], temperature, constant_keys)
        (gradient,) = torch.autograd.grad(climbed, x)
        x = (x.detach() + step_size * gradient.sign()).clamp(0, 1)
        x = torch.minimum(torch.maximum(x, first - eps), first + eps)
    pair = embed(weights, torch.cat([x, second])).chunk(2)
    three = embed(weights, torch.cat([first, second, x])).chunk(3)
    regulariser = nt_xent(list(pair), temperature, constant_keys) / lamda
    return nt_xent(list(three), temperature, constant_keys) + regulariser, x
