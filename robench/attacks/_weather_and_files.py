"""The weather, the colours and the files of CIFAR-10-C, with its constants (make_cifar_c.py).

As in `robench.attacks._blurs_and_noise`. Two are another drawing than the official ones: frost,
whose photographs are not ours to pass on, and the water of spatter, whose edges OpenCV finds.
"""

import io
from typing import Literal

import numpy as np
from PIL import Image as Picture
from scipy.ndimage import (
    distance_transform_edt,
    gaussian_filter,
    map_coordinates,
    sobel,
    uniform_filter,
)

from robench.attacks._blurs_and_noise import Dice, Image, blur_along, clipped_zoom, smooth


def fog(x: Image, severity: int, dice: Dice) -> Image:
    amount, decay = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))[severity]
    layer = plasma(max(x.shape), decay, dice)[: x.shape[0], : x.shape[1], None]
    most = x.max()
    return np.asarray((x + amount * layer) * most / (most + amount))


def frost(x: Image, severity: int, dice: Dice) -> Image:
    kept, amount = ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))[severity]
    size = max(x.shape)
    crystals = np.abs(plasma(size, 1.6, dice) - plasma(size, 1.6, dice))
    layer = np.clip(0.35 + 1.5 * (crystals - crystals.mean()), 0, 1)[: x.shape[0], : x.shape[1]]
    return np.asarray(kept * x + amount * layer[..., None] * np.array([0.85, 0.95, 1.0]))  # bluish


def snow(x: Image, severity: int, dice: Dice) -> Image:
    mean, sd, factor, least, radius, sigma, kept = (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    )[severity]
    layer = clipped_zoom(dice.normal(mean, sd, x.shape[:2])[..., None], factor)[..., 0]
    layer = np.floor(np.clip(np.where(layer < least, 0, layer), 0, 1) * 255) / 255
    layer = blur_along(layer, int(radius), sigma, dice.uniform(-135, -45))[..., None]
    grey = (x @ np.array([0.299, 0.587, 0.114]))[..., None]
    x = kept * x + (1 - kept) * np.maximum(x, grey * 1.5 + 0.5)
    return x + layer + np.rot90(layer, 2)


def spatter(x: Image, severity: int, dice: Dice) -> Image:
    mean, sd, sigma, least, amount, mud = (
        (0.62, 0.1, 0.7, 0.7, 0.5, 0),
        (0.65, 0.1, 0.8, 0.7, 0.5, 0),
        (0.65, 0.3, 1, 0.69, 0.5, 0),
        (0.65, 0.1, 0.7, 0.69, 0.6, 1),
        (0.65, 0.1, 0.5, 0.68, 0.6, 1),
    )[severity]
    drops = smooth(dice.normal(mean, sd, x.shape[:2]), sigma)
    drops = np.where(drops < least, 0, drops)
    if mud:
        cover = smooth((drops > least).astype(float), amount)
        cover = np.where(cover < 0.8, 0, cover)[..., None]
        return np.asarray(x * (1 - cover) + cover * np.array([63, 42, 20]) / 255)
    edges = np.hypot(sobel(drops, 0), sobel(drops, 1)) > 0.5
    depth = np.minimum(distance_transform_edt(~edges), 20) if edges.any() else np.zeros(drops.shape)
    light = drops * uniform_filter(1 - depth / max(1.0, depth.max()), 3)
    light *= amount / max(1e-9, float(light.max()))
    return np.asarray(x + light[..., None] * np.array([175, 238, 238]) / 255)


def brightness(x: Image, severity: int, dice: Dice) -> Image:
    return _in_hsv(x, 2, 1, (0.05, 0.1, 0.15, 0.2, 0.3)[severity])


def saturate(x: Image, severity: int, dice: Dice) -> Image:
    return _in_hsv(x, 1, *((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity])


def contrast(x: Image, severity: int, dice: Dice) -> Image:
    means = x.mean((0, 1), keepdims=True)
    return np.asarray((x - means) * (0.75, 0.5, 0.4, 0.3, 0.15)[severity] + means)


def jpeg_compression(x: Image, severity: int, dice: Dice) -> Image:
    file = io.BytesIO()
    _picture(x).save(file, "JPEG", quality=(80, 65, 58, 50, 40)[severity])
    return np.asarray(Picture.open(file)) / 255


def pixelate(x: Image, severity: int, dice: Dice) -> Image:
    share, (height, width) = (0.95, 0.9, 0.85, 0.75, 0.65)[severity], x.shape[:2]
    small = _picture(x).resize((int(width * share), int(height * share)), Picture.Resampling.BOX)
    return np.asarray(small.resize((width, height), Picture.Resampling.BOX)) / 255


def elastic_transform(x: Image, severity: int, dice: Dice) -> Image:
    amount, sigma, corner = (
        x.shape[0] * np.array(c)
        for c in zip(
            *((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05),
              (0.1, 0.03, 0.03)),
            strict=True,
        )
    )  # fmt: skip
    sides = np.array(x.shape[:2])
    middle, arm = sides // 2, min(sides) // 3
    before = middle + arm * np.array([[1, 1], [1, -1], [-1, -1]])
    after = before + dice.uniform(-corner[severity], corner[severity], (3, 2))
    # The affine map that takes the moved corners back; points are (x, y).
    back = np.linalg.solve(np.c_[after, np.ones(3)], before)
    rows, columns = np.mgrid[: sides[0], : sides[1]].astype(float)
    noise = dice.uniform(-1, 1, (2, *sides))
    waves = [amount[severity] * gaussian_filter(n, sigma[severity], truncate=3) for n in noise]
    at = np.stack([columns, rows, np.ones_like(rows)], -1) @ back
    turned = _sampled(x, at[..., 1], at[..., 0], "mirror")
    return _sampled(turned, rows + waves[1], columns + waves[0], "reflect")


def plasma(size: int, decay: float, dice: Dice) -> Image:
    """A height map in [0, 1] by midpoint displacement, periodic, of a power of two a side."""
    side = 1 << (size - 1).bit_length()
    heights, step, wibble = np.zeros((side, side)), side, 100.0
    while step >= 2:
        half = step // 2

        def mean(total: Image, wibble: float = wibble) -> Image:
            return total / 4 + wibble * dice.uniform(-wibble, wibble, total.shape)

        corners = heights[::step, ::step]
        total = corners + np.roll(corners, -1, 0)
        heights[half::step, half::step] = mean(total + np.roll(total, -1, 1))
        middles = heights[half::step, half::step]
        sideways = middles + np.roll(middles, 1, 0) + corners + np.roll(corners, -1, 1)
        heights[::step, half::step] = mean(sideways)
        upright = middles + np.roll(middles, 1, 1) + corners + np.roll(corners, -1, 0)
        heights[half::step, ::step] = mean(upright)
        step, wibble = half, wibble / decay
    heights -= heights.min()
    return np.asarray(heights / heights.max())


def _sampled(x: Image, rows: Image, columns: Image, mode: Literal["mirror", "reflect"]) -> Image:
    channels = [
        map_coordinates(x[..., c], np.stack([rows, columns]), order=1, mode=mode) for c in range(3)
    ]
    return np.stack(channels, -1)


def _picture(x: Image) -> Picture.Image:
    return Picture.fromarray(np.rint(x * 255).astype(np.uint8))


def _in_hsv(x: Image, channel: int, factor: float, added: float) -> Image:
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

    hsv = rgb_to_hsv(x)
    hsv[..., channel] = np.clip(hsv[..., channel] * factor + added, 0, 1)
    return np.asarray(hsv_to_rgb(hsv))
