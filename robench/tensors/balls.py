"""Norm balls around images: where an attack may start, its steepest step, the way back in."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor


class Ball(Protocol):
    """Points within ``eps`` of a centre in one norm, cut to the pixel range [0, 1].

    Images are [B, C, H, W]; ``eps`` is in pixels of [0, 1].
    """

    @property
    def eps(self) -> float: ...

    def sample(self, centre: Tensor, generator: Generator) -> Tensor:
        """A random point of each image's ball, within the pixel range."""
        ...

    def step(self, images: Tensor, gradient: Tensor, size: float) -> Tensor:
        """Move by ``size``, in this norm, to where a function with this gradient grows fastest.

        The step may leave the ball and the pixel range. Its length does not depend on that of the
        gradient; only where that is exactly zero the images stay.
        """
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

    def step(self, images: Tensor, gradient: Tensor, size: float) -> Tensor:
        return images + size * gradient.sign()

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

    def step(self, images: Tensor, gradient: Tensor, size: float) -> Tensor:
        # Scaled first: squares of a gradient of 1e-23 are zero in float32.
        largest = _norm(gradient, math.inf)
        scaled = gradient / _each(torch.where(largest > 0, largest, 1))
        return images + size * scaled / _each(_norm(scaled, 2).clamp(min=1))

    def project(self, images: Tensor, centre: Tensor) -> Tensor:
        change = images - centre
        shrink = self.eps / _norm(change, 2).clamp(min=self.eps)
        # Clamping afterwards only shortens the change: each centre lies in the pixel range.
        return (centre + change * _each(shrink)).clamp(0, 1)

    def size(self, images: Tensor, centre: Tensor) -> Tensor:
        return _norm(images - centre, 2)


@dataclass(frozen=True)
class L1:
    """The changes of all pixels sum to at most ``eps``.

    A step moves the steepest pixels, each by at most ``stride``: along the single steepest one, it
    would take as many steps as there are pixels.
    """

    eps: float
    stride: float = 0.1

    def sample(self, centre: Tensor, generator: Generator) -> Tensor:
        # Normalised exponentials are uniform on the simplex; then random signs, a uniform radius.
        weights = torch.empty_like(centre).exponential_(generator=generator)
        signs = torch.empty_like(centre).uniform_(-1, 1, generator=generator).sign()
        radius = torch.empty(len(centre), device=centre.device, dtype=centre.dtype)
        radius.uniform_(0, 1, generator=generator)
        noise = weights * signs * _each(self.eps * radius / _norm(weights, 1))
        return (centre + noise).clamp(0, 1)

    def step(self, images: Tensor, gradient: Tensor, size: float) -> Tensor:
        # Only what a pixel can move within its range counts towards ``size``, so that a step is not
        # spent on pixels at an edge (Croce & Hein 2021, arXiv 2103.01208, section 3.2). They are
        # pushed over it, which keeps them there when `project` takes from all pixels alike.
        steepness, order = gradient.abs().flatten(1).sort(dim=1, descending=True, stable=True)
        room = torch.where(gradient > 0, 1 - images, images).clamp(0, self.stride)
        room = room.flatten(1).gather(1, order) * (steepness > 0)
        moves = (size - room.cumsum(1) + room).clamp(0, self.stride)
        moves = torch.zeros_like(moves).scatter_(1, order, moves).view_as(images)
        return images + moves * gradient.sign()

    def project(self, images: Tensor, centre: Tensor) -> Tensor:
        change = (images - centre).flatten(1)
        room = torch.where(change > 0, 1 - centre.flatten(1), centre.flatten(1))
        kept = _onto_l1_ball(change.abs(), room, self.eps)
        return (centre + (change.sign() * kept).view_as(images)).clamp(0, 1)

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


def _onto_l1_ball(size: Tensor, room: Tensor, eps: float) -> Tensor:
    """The nearest sizes [B, D] between 0 and ``room`` whose sum over D is at most ``eps``.

    They are min(max(size - t, 0), room) with one threshold t >= 0 (Croce & Hein 2021, proposition
    2.1). The sum falls as t grows, along a line between its corners at size and size - room.
    """
    corners, order = torch.cat([size, size - room], 1).sort(dim=1, descending=True)
    bends = torch.ones_like(corners)
    bends[:, size.shape[1] :] = -1
    slopes = bends.gather(1, order).cumsum(1)[:, :-1]
    sums = (slopes * (corners[:, :-1] - corners[:, 1:])).cumsum(1)  # at the corners but the first
    # The last corner whose sum is within the ball, and from there down to the ball's edge.
    place = (sums <= eps).sum(1, keepdim=True)
    at = torch.nn.functional.pad(sums, (1, 0)).gather(1, place)
    slope = slopes.gather(1, place.clamp(max=slopes.shape[1] - 1)).clamp(min=1)
    threshold = corners.gather(1, place) - (eps - at) / slope
    nearest = torch.minimum((size - threshold.clamp(min=0)).clamp(min=0), room)
    # Once more for what the sums were rounded by.
    return nearest * (eps / nearest.sum(1, keepdim=True).clamp(min=eps))


def _norm(change: Tensor, order: float) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(change.flatten(1), ord=order, dim=1)
    return lengths


def _each(per_image: Tensor) -> Tensor:
    return per_image.view(-1, 1, 1, 1)
