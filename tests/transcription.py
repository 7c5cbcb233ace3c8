"""The losses written out slowly, from the papers and the authors' code, to compare with.

Nothing of robench is used: the network is four formulas over a dictionary of float64 tensors, with
BatchNorm in full, and the contrastive loss is a loop over its anchors.
"""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor
from torch.nn.functional import conv2d

Weights = Mapping[str, Tensor]


def features(weights: Weights, images: Tensor, branch: str = "", running: bool = False) -> Tensor:
    """Two convolutions, each with BatchNorm and tanh, and the mean over pixels."""
    x = conv2d(images, weights["encoder.first.weight"], padding=1)
    x = batch_norm(weights, f"encoder.norm1.{branch}", x, running).tanh()
    x = conv2d(x, weights["encoder.second.weight"], stride=2)
    x = batch_norm(weights, f"encoder.norm2.{branch}", x, running).tanh()
    return x.mean((2, 3))


def embed(weights: Weights, images: Tensor, branch: str = "", running: bool = False) -> Tensor:
    """The features of the images, and the projector."""
    x = features(weights, images, branch, running)
    if "projector.weight" in weights:  # one linear layer: Plain/models/resnet_cifar.py:187
        return x @ weights["projector.weight"].T + weights["projector.bias"]
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


def one_direction(rows: Tensor, columns: Tensor, temperature: float) -> Tensor:
    """Plain/main.py:69-83: each row's own column, among all columns and no row."""
    terms = []
    for i, row in enumerate(rows):
        scores = [(unit(row) * unit(column)).sum() / temperature for column in columns]
        total = torch.stack([score.exp() for score in scores]).sum()
        terms.append(-(scores[i].exp() / total).log())
    return torch.stack(terms).sum() / len(rows)


def batch_criterion(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """UEL/BatchAverage.py:30-71 with negM = 1: log P(own) + sum over others of log(1 - P(other)).

    P of anchor i is over everything but i; the other side of each product is a constant.
    """
    points = torch.cat([first, second])
    total, images = len(points), len(first)
    terms = []
    for i in range(total):
        masses = {
            k: ((unit(points[i]) * unit(points[k]).detach()).sum() / temperature).exp()
            for k in range(total)
            if k != i
        }
        whole = torch.stack(list(masses.values())).sum()
        for k, mass in masses.items():
            own = k % images == i % images
            terms.append((mass / whole).log() if own else (1 - mass / whole).log())
    return -torch.stack(terms).sum() / total


def unit(point: Tensor) -> Tensor:
    return point / (point**2).sum().sqrt()  # Plain/models/normalize.py:11-14


def pair(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    return nt_xent([first, second], temperature)


LOSSES = {"clae": pair, "simclr": pair, "plain": one_direction, "uel": batch_criterion}


def two_views(
    weights: Weights, first: Tensor, second: Tensor, *, base: str, temperature: float
) -> Tensor:
    """SimCLR, CLAE's branches without --adv, and RoCL's code without its adversary."""
    if base in ("simclr", "rocl"):  # both in one batch
        views = list(embed(weights, torch.cat([first, second])).chunk(2))
        # RoCL's keys are constant: src/rocl_train.py:147-157, loss.py:55
        return nt_xent(views, temperature, constant_keys=base == "rocl")
    # SimCLR/main.py:71-80, and the other branches' as below
    return LOSSES[base](embed(weights, first), embed(weights, second), temperature)


def clae(
    weights: Weights,
    first: Tensor,
    second: Tensor,
    *,
    base: str,
    temperature: float,
    eps: float,
    alpha: float,
) -> tuple[Tensor, Tensor]:
    """CLAE's loss and its adversary.

    SimCLR/main.py:48-83; Plain/main.py:57-66 and 219-227; UEL/main.py:58-69 and 214-226.
    """
    contrast = LOSSES[base]
    moved = first.clone().requires_grad_()
    constant = embed(weights, first, "adversarial.").detach()
    climbed = contrast(constant, embed(weights, moved, "adversarial."), temperature)
    (gradient,) = torch.autograd.grad(climbed, moved)
    adversary = first + eps * gradient.sign()
    anchor, other = embed(weights, first, "clean."), embed(weights, second, "clean.")
    attacked = embed(weights, adversary, "adversarial.")
    loss = contrast(anchor, other, temperature) + alpha * contrast(anchor, attacked, temperature)
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
