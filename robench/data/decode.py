"""Encoded images (PNG, WebP, JPEG, ...) to uint8 arrays."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from robench.contracts import DataError, Progress

_FORMATS = ("PNG", "WEBP", "JPEG", "BMP", "GIF", "TIFF", "PPM")
_MOST_BYTES = 8 * 2**30  # of decoded images
_AT_ONCE = 250  # images a task: enough to hide a task's cost, few enough for a smooth progress bar


def decode(encoded: bytes, where: str, exactly: tuple[int, int] | None = None) -> Image.Image:
    """Decode one image to RGB, 8 bits a channel, turned as its EXIF orientation says.

    The size is checked before a pixel is decoded; ``exactly`` is the (width, height) it must have.
    Raises DataError, which names ``where``.
    """
    try:
        image: Image.Image = Image.open(BytesIO(encoded), formats=_FORMATS)
        if exactly is not None and image.size != exactly:
            size = f"{image.width}×{image.height} pixels, expected {exactly[0]}×{exactly[1]}"
            raise DataError(f"{where}: the image is {size}")
        if image.mode.startswith(("I", "F")):
            raise DataError(f"{where}: the image has more than 8 bits a channel; convert it")
        image = ImageOps.exif_transpose(image)
        # A palette's transparency must become a channel of its own before it can be dropped.
        through = "RGBA" if "transparency" in image.info else "RGB"
        return image.convert(through).convert("RGB")
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on damaged bytes
        reason = type(error).__name__
        raise DataError(f"{where}: not an image that can be decoded ({reason})") from None


def stack(
    load: Callable[[int], Image.Image], count: int, size: int, progress: Progress, label: str
) -> npt.NDArray[np.uint8]:
    """Stack the images ``load(0)`` to ``load(count - 1)``: uint8 [count, 3, size, size].

    Several threads load them. Raises the first DataError, and one where they would not fit.
    """
    if count * 3 * size * size > _MOST_BYTES:
        most = f"the {_MOST_BYTES / 2**30:.0f} GiB that are read; use smaller or fewer images"
        raise DataError(f"{label}: {count:,} images of {size}×{size} pixels are more than {most}")
    images = np.empty((count, 3, size, size), dtype=np.uint8)

    def fill(rows: range) -> None:
        for row in rows:
            images[row] = np.asarray(load(row)).transpose(2, 0, 1)

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        rows = range(count)
        filled = [pool.submit(fill, rows[i : i + _AT_ONCE]) for i in rows[::_AT_ONCE]]
        for future in progress(filled, label):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
    return images
