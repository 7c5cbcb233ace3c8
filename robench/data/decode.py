"""Encoded images (PNG, WebP, JPEG, ...) to uint8 arrays."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from robench.contracts import DataError, Progress
from robench.data.checks import check_total

Pixels = npt.NDArray[np.uint8]

_FORMATS = ("PNG", "WEBP", "JPEG", "BMP", "GIF", "TIFF", "PPM")
_MOST_PIXELS = 64_000_000  # one image; a photograph of a good camera fits, a bomb does not
_AT_ONCE = 250  # images a task: enough to hide a task's cost, few enough for a smooth progress bar


def decode(encoded: bytes, where: str, exactly: tuple[int, int] | None = None) -> Image.Image:
    """One image in RGB, 8 bits a channel; ``exactly`` is the (width, height) that it must have.

    The size is checked before a pixel is decoded. Raises DataError, which names ``where``.
    """
    try:
        image = Image.open(BytesIO(encoded), formats=_FORMATS)
    except Exception as error:  # Pillow's readers raise nearly anything on damaged bytes
        raise _not_an_image(where, error) from None
    if exactly is not None and image.size != exactly:
        raise DataError(
            f"{where}: the image is {_size(image.size)} pixels, expected {_size(exactly)}"
        )
    if image.width * image.height > _MOST_PIXELS:
        raise DataError(
            f"{where}: the image is {_size(image.size)} pixels, more than the "
            f"{_MOST_PIXELS // 10**6} million that are read; make it smaller"
        )
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{where}: the image has more than 8 bits a channel; convert it to 8 bits")
    try:
        # A palette's transparency must become a channel of its own before it can be dropped.
        through = "RGBA" if "transparency" in image.info else "RGB"
        return image.convert(through).convert("RGB")
    except Exception as error:
        raise _not_an_image(where, error) from None


def fitted(image: Image.Image, size: int) -> Image.Image:
    """The image with its shorter side scaled to ``size`` and the centre square kept."""
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def stack(
    load: Callable[[int], Image.Image], count: int, size: int, progress: Progress, label: str
) -> Pixels:
    """The images ``load(0)`` to ``load(count - 1)``: uint8 [count, 3, size, size].

    They are loaded by several threads. The first row's DataError ends it.
    """
    check_total(count, size, size, label)
    images = np.empty((count, 3, size, size), dtype=np.uint8)

    def fill(rows: range) -> None:
        for row in rows:
            images[row] = np.asarray(load(row)).transpose(2, 0, 1)

    chunks = [range(i, min(i + _AT_ONCE, count)) for i in range(0, count, _AT_ONCE)]
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        filled: Sequence[Future[None]] = [pool.submit(fill, chunk) for chunk in chunks]
        for future in progress(filled, label):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
    return images


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _not_an_image(where: str, error: Exception) -> DataError:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return DataError(f"{where}: the image has too many pixels to be read; make it smaller")
    return DataError(f"{where}: not an image that can be decoded ({type(error).__name__})")
