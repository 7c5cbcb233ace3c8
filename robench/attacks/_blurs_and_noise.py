"""The noises and blurs of CIFAR-10-C, with its constants (hendrycks/robustness, make_cifar_c.py).

``x`` is float64 [H, W, 3] in [0, 1], and so is what comes back, not yet cut to that range. The
official maker uses scikit-image, OpenCV and ImageMagick; here SciPy does the same sums.
"""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve, gaussian_filter, shift, zoom

Image = npt.NDArray[np.float64]
Dice = np.random.Generator


def gaussian_noise(x: Image, severity: int, dice: Dice) -> Image:
    return x + dice.normal(scale=(0.04, 0.06, 0.08, 0.09, 0.10)[severity], size=x.shape)


def shot_noise(x: Image, severity: int, dice: Dice) -> Image:
    photons = (500, 250, 100, 75, 50)[severity]
    return dice.poisson(x * photons) / photons


def impulse_noise(x: Image, severity: int, dice: Dice) -> Image:
    hit = dice.random(x.shape) < (0.01, 0.02, 0.03, 0.05, 0.07)[severity]
    return np.where(hit, dice.integers(0, 2, x.shape), x)


def speckle_noise(x: Image, severity: int, dice: Dice) -> Image:
    return x + x * dice.normal(scale=(0.06, 0.1, 0.12, 0.16, 0.2)[severity], size=x.shape)


def gaussian_blur(x: Image, severity: int, dice: Dice) -> Image:
    return smooth(x, (0.4, 0.6, 0.7, 0.8, 1)[severity])


def glass_blur(x: Image, severity: int, dice: Dice) -> Image:
    sigma, reach, times = ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))[
        severity
    ]
    y = np.asarray((smooth(x, sigma) * 255).astype(np.uint8) / 255)
    for _ in range(times):
        for row in range(x.shape[0] - reach, reach, -1):
            for column in range(x.shape[1] - reach, reach, -1):
                dx, dy = dice.integers(-reach, reach, 2)
                # The official code means to swap, and assigns views: a pixel is copied.
                y[row, column] = y[row + dy, column + dx]
    return smooth(y, sigma)


def defocus_blur(x: Image, severity: int, dice: Dice) -> Image:
    radius, sigma = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[severity]
    rows, columns = np.mgrid[-8:9, -8:9]
    disk = (rows**2 + columns**2 <= radius**2).astype(float)
    taps = np.exp(-np.array([1, 0, 1]) / (2 * sigma**2))
    taps /= taps.sum()
    kernel = convolve(disk / disk.sum(), np.outer(taps, taps), mode="mirror")
    return convolve(x, kernel[:, :, None], mode="mirror")


def motion_blur(x: Image, severity: int, dice: Dice) -> Image:
    radius, sigma = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))[severity]
    return blur_along(x, radius, sigma, dice.uniform(-45, 45))


def zoom_blur(x: Image, severity: int, dice: Dice) -> Image:
    factors = np.arange(1, (1.06, 1.11, 1.16, 1.21, 1.26)[severity], 0.01)
    zoomed = [clipped_zoom(x, factor) for factor in factors]
    return np.asarray((x + sum(zoomed)) / (len(factors) + 1))


def smooth(x: Image, sigma: float) -> Image:
    """A Gaussian over rows and columns, as scikit-image has it."""
    sides = (sigma, sigma, 0)[: x.ndim]
    return np.asarray(gaussian_filter(x, sides, mode="nearest", truncate=4))


def clipped_zoom(x: Image, factor: float) -> Image:
    """The middle of an image, enlarged to its size."""
    side = x.shape[0]
    kept = int(np.ceil(side / factor))
    top = (side - kept) // 2
    large = zoom(x[top : top + kept, top : top + kept], (factor, factor, 1), order=1)
    start = (large.shape[0] - side) // 2
    return np.asarray(large[start : start + side, start : start + side])


def blur_along(x: Image, radius: int, sigma: float, degrees: float) -> Image:
    """ImageMagick's motion blur: one half of a Gaussian along a line, edge pixels repeated."""
    places = np.arange(2 * radius + 1)
    weights = np.exp(-(places**2) / (2 * sigma**2))
    weights /= weights.sum()
    angle = np.deg2rad(degrees)
    rows, columns = (np.ceil(places * side(angle) - 0.5) for side in (np.sin, np.cos))
    moved = (
        weight * shift(x, (-row, -column, 0)[: x.ndim], order=0, mode="nearest")
        for weight, row, column in zip(weights, rows, columns, strict=True)
    )
    return np.asarray(sum(moved))
