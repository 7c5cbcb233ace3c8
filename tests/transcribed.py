"""Objectives with labels, and those on two BatchNorms, written out slowly.

As in `transcription`, whose network is used, nothing of robench is.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from transcription import Weights, batch_norm, features, nt_xent


def logits(weights: Weights, images: Tensor, running: bool = False) -> Tensor:
    made = features(weights, images, running=running)
    return made @ weights["head.weight"].T + weights["head.bias"]


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    rows = zip(scores, labels, strict=True)
    return torch.stack([-(row.exp() / row.exp().sum())[label].log() for row, label in rows]).sum()


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """The sum of KL(p || q) over rows of logits."""
    total = torch.zeros((), dtype=p.dtype)
    for row, other in zip(p, q, strict=True):
        one, two = row.exp() / row.exp().sum(), other.exp() / other.exp().sum()
        total = total + sum(a * (a.log() - b.log()) for a, b in zip(one, two, strict=True))
    return total


def climbed(
    loss: Callable[[Tensor], Tensor],
    centre: Tensor,
    x: Tensor,
    eps: float,
    step_size: float,
    steps: int,
) -> Tensor:
    for _ in range(steps):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x), x)
        x = x.detach() + step_size * gradient.sign()
        x = torch.minimum(torch.maximum(x, centre - eps), centre + eps).clamp(0, 1)
    return x.detach()


def uniform(centre: Tensor, eps: float, generator: Generator) -> Tensor:
    noise = torch.empty_like(centre).uniform_(-eps, eps, generator=generator)
    return (centre + noise).clamp(0, 1)


def at(
    weights: Weights,
    images: Tensor,
    labels: Tensor,
    generator: Generator,
    *,
    eps: float,
    step_size: float,
    steps: int,
) -> Tensor:
    """Madry et al., equation 2.1 (pgd_attack.py:48-68)."""
    x = climbed(
        lambda x: cross_entropy(logits(weights, x, running=True), labels),
        images,
        uniform(images, eps, generator),
        eps,
        step_size,
        steps,
    )
    return cross_entropy(logits(weights, x), labels) / len(labels)


def trades(
    weights: Weights,
    images: Tensor,
    labels: Tensor,
    generator: Generator,
    *,
    beta: float,
    eps: float,
    step_size: float,
    steps: int,
) -> Tensor:
    """Zhang et al., equation 5 (trades.py:17-88)."""
    noise = torch.empty_like(images).normal_(generator=generator)
    x = climbed(
        lambda x: divergence(
            logits(weights, images, running=True), logits(weights, x, running=True)
        ),
        images,
        images + 0.001 * noise,
        eps,
        step_size,
        steps,
    )
    clean = logits(weights, images)
    robust = divergence(clean, logits(weights, x))
    return cross_entropy(clean, labels) / len(labels) + beta * robust / len(labels)


def dual(weights: Weights, images: Tensor, branch: str, running: bool = False) -> Tensor:
    """The features and ACL's projector (models/resnet_multi_bn.py:181-216), of one BatchNorm."""
    x = features(weights, images, branch, running)
    for i in (0, 3, 6):
        x = x @ weights[f"projector.{i}.weight"].T
        name = f"projector.{i + 1}.{branch}"
        x = batch_norm(weights, name, x[:, :, None, None], running)[:, :, 0, 0]
        x = x if i == 6 else x.clamp(min=0)
    return x


def streams(
    weights: Weights,
    first: Tensor,
    second: Tensor,
    generator: Generator,
    *,
    temperature: float,
    eps: float,
    step_size: float,
    steps: int,
    average: Weights | None = None,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """ACL's two losses (train_simCLR.py:214-223, 351-385), and its embeddings.

    The first, second and both adversarial views' embeddings, in this order. With the weights of an
    ``average`` the second of two views goes through it (DYNACL, train_DynACL.py:286-291 and
    models/resnet_multi_bn.py:513-529).
    """
    both = torch.cat([first, second])

    def embedded(x: Tensor, branch: str, running: bool = False) -> Tensor:
        if average is None:
            return dual(weights, x, branch, running)
        one, other = x.chunk(2)
        return torch.cat(
            [dual(weights, one, branch, running), dual(average, other, branch, running)]
        )

    def contrast(embeddings: Tensor) -> Tensor:
        return nt_xent(list(embeddings.chunk(2)), temperature)

    x = climbed(
        lambda x: contrast(embedded(x, "adversarial.", running=True)),
        both,
        uniform(both, eps, generator),
        eps,
        step_size,
        steps,
    )
    attacked, clean = embedded(x, "adversarial."), embedded(both, "clean.")
    return contrast(clean), contrast(attacked), [*clean.chunk(2), *attacked.chunk(2)]


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """The mean over rows."""
    rows = zip(first, second, strict=True)
    terms = [(a * b).sum() / ((a**2).sum() * (b**2).sum()).sqrt() for a, b in rows]
    return torch.stack(terms).mean()


def under(prefix: str, weights: Weights, name: str) -> Weights:
    """The weights that begin with a prefix, under another name."""
    return {name + n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}


def deacl(
    weights: Weights,
    images: Tensor,
    generator: Generator,
    *,
    beta: float,
    eps: float,
    step_size: float,
    steps: int,
) -> Tensor:
    """DeACL, solo/methods/mocov2_distillation_AT.py:200-326."""
    taught = features(under("teacher.encoder.", weights, "encoder."), images, running=True)
    x = climbed(
        lambda x: -cosine(features(weights, x, running=True), taught),
        images,
        uniform(images, eps, generator),
        eps,
        step_size,
        steps,
    )
    clean, moved = features(weights, torch.cat([images, x])).chunk(2)
    return -cosine(clean, taught) - beta * cosine(moved, clean)


def profeat(
    weights: Weights,
    weak: Tensor,
    strong: Tensor,
    generator: Generator,
    *,
    beta: float,
    weight: float,
    eps: float,
    step_size: float,
    steps: int,
) -> Tensor:
    """ProFeAT, pretraining.py:125-193; the teacher sees the weak view, the student the strong one.

    The running statistics are those after the student has seen it.
    """
    taught = features(under("teacher.encoder.", weights, "encoder."), weak, running=True)

    projector = under("teacher.projector.", weights, "")

    def shared(x: Tensor) -> Tensor:
        hidden = (x @ projector["0.weight"].T + projector["0.bias"]).clamp(min=0)
        return hidden @ projector["2.weight"].T + projector["2.bias"]

    clean = features(weights, strong)

    def climbs(x: Tensor) -> Tensor:
        moved = features(weights, x, running=True)
        return -cosine(moved, clean.detach()) - cosine(shared(moved), shared(taught))

    start = uniform(strong, eps, generator)
    moved = features(weights, climbed(climbs, strong, start, eps, step_size, steps))
    near = (1 - weight) * cosine(taught, clean) + weight * cosine(shared(taught), shared(clean))
    still = (1 - weight) * cosine(moved, clean) + weight * cosine(shared(moved), shared(clean))
    return -near - beta * still
