"""Norm balls around images: where an attack may start, its steepest direction, the way back in."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

_TINY = 1e-12  # keeps a zero gradient at zero instead of 0 / 0


class Ball(Protocol):
    """Points within ``eps`` of a centre in one norm, cut to the pixel range [0, 1].

    Images are [B, C, H, W]; ``eps`` is in pixels of [0, 1].
    """

    @property
    def eps(self) -> float: ...

    def sample(self, centre: Tensor, generator: Generator) -> Tensor:
        """A random point of each image's ball, within the pixel range."""
        ...

    def steepest(self, gradient: Tensor) -> Tensor:
        """The direction of unit norm along which a function with this gradient grows fastest."""
        ...

    def project(self, images: Tensor, centre: Tensor) -> Tensor:
        """A point of the ball and the pixel range near ``images``."""
        ...

    def size(self, images: Tensor, centre: Tensor) -> Tensor:
        """Each perturbation's norm: [B]."""
        ...


@dataclass(frozen=True)
class Linf:
    """The largest change of any pixel is at most ``eps``; pixels are cut to ``pixels``."""

    eps: float
    pixels: tuple[float, float] = (0.0, 1.0)

    def sample(self, centre: Tensor, generator: Generator) -> Tensor:
        noise = torch.empty_like(centre).uniform_(-self.eps, self.eps, generator=generator)
        return (centre + noise).clamp(*self.pixels)

    def steepest(self, gradient: Tensor) -> Tensor:
        return gradient.sign()

    def project(self, images: Tensor, centre: Tensor) -> Tensor:
        return (centre + (images - centre).clamp(-self.eps, self.eps)).clamp(*self.pixels)

    def size(self, images: Tensor, centre: Tensor) -> Tensor:
        return (images - centre).abs().flatten(1).amax(1)


@dataclass(frozen=True)
class L2:
    """The Euclidean length of the change is at most ``eps``."""

    eps: float

    def sample(self, centre: Tensor, generator: Generator) -> Tensor:
        # A uniform radius along a uniform direction, as torchattacks' PGDL2 draws it.
        noise = torch.empty_like(centre).normal_(generator=generator)
        radius = torch.empty(len(centre), device=centre.device, dtype=centre.dtype)
        radius.uniform_(0, 1, generator=generator)
        return (centre + noise * _each(self.eps * radius / _norm(noise, 2))).clamp(0, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        return gradient / _each(_norm(gradient, 2) + _TINY)

    def project(self, images: Tensor, centre: Tensor) -> Tensor:
        change = images - centre
        shrink = (self.eps / (_norm(change, 2) + _TINY)).clamp(max=1)
        # Clamping afterwards only shortens the change: each centre lies in the pixel range.
        return (centre + change * _each(shrink)).clamp(0, 1)

    def size(self, images: Tensor, centre: Tensor) -> Tensor:
        return _norm(images - centre, 2)


@dataclass(frozen=True)
class L1:
    """The changes of all pixels sum to at most ``eps``.

    ``sparsity`` is the share of pixels that one step moves: a step along the single steepest pixel
    would need as many steps as there are pixels. Tramèr & Boneh (2019, arXiv 1904.13000) move the
    top percentile.
    """

    eps: float
    sparsity: float = 0.01

    def sample(self, centre: Tensor, generator: Generator) -> Tensor:
        # Normalised exponentials are uniform on the simplex; then random signs, a uniform radius.
        weights = torch.empty_like(centre).exponential_(generator=generator)
        signs = torch.empty_like(centre).uniform_(-1, 1, generator=generator).sign()
        radius = torch.empty(len(centre), device=centre.device, dtype=centre.dtype)
        radius.uniform_(0, 1, generator=generator)
        noise = weights * signs * _each(self.eps * radius / _norm(weights, 1))
        return (centre + noise).clamp(0, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        size = gradient.abs().flatten(1)
        moved = max(1, round(self.sparsity * size.shape[1]))
        top = torch.zeros_like(size).scatter_(1, size.topk(moved, dim=1).indices, 1.0)
        direction = gradient.sign() * top.view_as(gradient)
        return direction / _each(_norm(direction, 1) + _TINY)

    def project(self, images: Tensor, centre: Tensor) -> Tensor:
        change = (images - centre).flatten(1)
        onto = _onto_l1_ball(change, self.eps).view_as(images)
        return (centre + onto).clamp(0, 1)

    def size(self, images: Tensor, centre: Tensor) -> Tensor:
        return _norm(images - centre, 1)


BALLS: dict[str, type[Linf] | type[L2] | type[L1]] = {"linf": Linf, "l2": L2, "l1": L1}


def ball(norm: str, eps: float) -> Ball:
    """The ball of a norm by its name, one of ``BALLS``, with a radius that someone asked for.

    Raises ValueError for another norm, an ``eps`` that is not positive and, in linf, one over 1.
    """
    if norm not in BALLS:
        raise ValueError(f"norm={norm} is unknown; choose {', '.join(BALLS)}")
    if not 0 < eps < math.inf:
        raise ValueError(f"eps={eps} should be a positive number of pixels, such as 8/255")
    if norm == "linf" and eps > 1:
        raise ValueError(f"eps={eps} is over 1, the whole pixel range; divide by 255 (8/255)")
    return BALLS[norm](eps)


def _onto_l1_ball(change: Tensor, eps: float) -> Tensor:
    """The Euclidean projection of each row onto the L1 ball (Duchi et al. 2008, figure 1)."""
    size = change.abs()
    ordered = size.sort(dim=1, descending=True).values
    ranks = torch.arange(1, size.shape[1] + 1, device=change.device, dtype=change.dtype)
    excess = (ordered.cumsum(1) - eps) / ranks
    kept = (ordered > excess).sum(1, keepdim=True).clamp(min=1)
    threshold = excess.gather(1, kept - 1).clamp(min=0)
    shrunk = change.sign() * (size - threshold).clamp(min=0)
    return torch.where(size.sum(1, keepdim=True) <= eps, change, shrunk)


def _norm(change: Tensor, order: int) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(change.flatten(1), ord=order, dim=1)
    return lengths


def _each(per_image: Tensor) -> Tensor:
    return per_image.view(-1, 1, 1, 1)
