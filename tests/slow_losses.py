"""Losses of self-supervised learning without an adversary, written out slowly from their papers.

Nothing of robench is used: networks are formulas over a dictionary of float64 tensors, and losses
are loops over images and outputs.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from transcription import Weights, batch_norm, unit


def features(weights: Weights, images: Tensor, name: str = "encoder") -> Tensor:
    """Two convolutions, each with BatchNorm and tanh, and the mean over pixels."""
    x = conv2d(images, weights[f"{name}.first.weight"], padding=1)
    x = batch_norm(weights, f"{name}.norm1.", x, running=False).tanh()
    x = conv2d(x, weights[f"{name}.second.weight"], stride=2)
    return batch_norm(weights, f"{name}.norm2.", x, running=False).tanh().mean((2, 3))


def layers(weights: Weights, name: str, x: Tensor) -> Tensor:
    """The layers of ``name`` one after the other: linear, BatchNorm, or else ReLU between two."""
    last = max(int(key[len(name) + 1 :].split(".")[0]) for key in weights if key.startswith(name))
    for i in range(last + 1):
        here = f"{name}.{i}."
        if f"{here}running_mean" in weights:
            x = standardised(x)
            x = x * weights.get(f"{here}weight", 1.0) + weights.get(f"{here}bias", 0.0)
        elif f"{here}weight" in weights:
            x = x @ weights[f"{here}weight"].T + weights.get(f"{here}bias", 0.0)
        else:
            x = x.clamp(min=0)
    return x


def standardised(x: Tensor) -> Tensor:
    """BatchNorm without weights, on its batch."""
    mean = x.sum(0) / len(x)
    variance = ((x - mean) ** 2).sum(0) / len(x)
    return (x - mean) / (variance + 1e-5).sqrt()


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """The mean of the cosines of rows."""
    terms = [(unit(one) * unit(other)).sum() for one, other in zip(first, second, strict=True)]
    return torch.stack(terms).sum() / len(terms)


def simsiam(weights: Weights, first: Tensor, second: Tensor) -> Tensor:
    """Algorithm 1 of Chen & He: D(p1, z2)/2 + D(p2, z1)/2."""
    z = [
        standardised(layers(weights, "projector.0", features(weights, view)))
        for view in (first, second)
    ]
    p = [layers(weights, "predictor", one) for one in z]
    return -cosine(p[0], z[1].detach()) / 2 - cosine(p[1], z[0].detach()) / 2


def byol(weights: Weights, first: Tensor, second: Tensor) -> Tensor:
    """Equation 2 of Grill et al., and the same with the views exchanged."""
    total = torch.zeros((), dtype=torch.float64)
    for view, other in ((first, second), (second, first)):
        projected = layers(weights, "projector", features(weights, view))
        predicted = layers(weights, "predictor", projected)
        target = layers(weights, "target.1", features(weights, other, "target.0"))
        for q, z in zip(predicted, target, strict=True):
            total = total + ((unit(q) - unit(z).detach()) ** 2).sum() / len(view)
    return total


def barlow(weights: Weights, first: Tensor, second: Tensor, lamda: float, scale: float) -> Tensor:
    """Algorithm 1 of Zbontar et al., with BatchNorm's epsilon as in main.py."""
    z, other = (
        standardised(layers(weights, "projector", features(weights, view)))
        for view in (first, second)
    )
    total = torch.zeros((), dtype=torch.float64)
    for i in range(z.shape[1]):
        for j in range(z.shape[1]):
            correlation = (z[:, i] * other[:, j]).sum() / len(z)
            total = total + ((1 - correlation) ** 2 if i == j else lamda * correlation**2)
    return scale * total


def vicreg(
    weights: Weights, first: Tensor, second: Tensor, invariance: float, variance: float, nu: float
) -> Tensor:
    """Equations 1 to 6 of Bardes et al."""
    both = [layers(weights, "projector", features(weights, view)) for view in (first, second)]
    n, d = both[0].shape
    s = ((both[0] - both[1]) ** 2).sum() / (n * d)
    v, c = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for z in both:
        away = z - z.sum(0) / n
        for i in range(d):
            spread = ((away[:, i] ** 2).sum() / (n - 1) + 1e-4).sqrt()
            v = v + (1 - spread).clamp(min=0) / d
            for j in range(d):
                if i != j:
                    c = c + ((away[:, i] * away[:, j]).sum() / (n - 1)) ** 2 / d
    return invariance * s + variance * v + nu * c
