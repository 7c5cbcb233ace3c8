"""Convolutions of small maps as products of matrices, where a CPU's own kernels are slow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, pad

# A CPU's kernels work along the rows of a map, and a short row leaves most of a matrix unit idle;
# they are slowest for the weights' gradient (docs/performance.md).
_TINY = 16
"""Pixels of the output map, up to which all products are faster, but a strided one backwards."""
_SMALL = 64
"""Pixels of the output map, up to which the one for the weights' gradient is."""
_BYTES = 24 * 2**20
"""Size of the largest matrix made on the way: fresh memory costs more than the product gains."""
_BLOCK = 128
"""Columns of one product: of a wide one with up to a thousand rows, one thread does it all."""


@contextmanager
def quick_convolutions(module: nn.Module) -> Iterator[None]:
    """Compute convolutions of small maps in ``module`` as products, inside the block.

    Only under autocast on a CPU is anything different, and there but for rounding.
    """
    changed = [part for part in module.modules() if type(part) is nn.Conv2d]
    for part in changed:
        # By class, and not by replacing the layer: parameters, hooks and copies stay what they are.
        part.__class__ = QuickConv2d
    try:
        yield
    finally:
        for part in changed:
            part.__class__ = nn.Conv2d


class QuickConv2d(nn.Conv2d):
    """`nn.Conv2d`, quicker under autocast on a CPU; anywhere else it is the very same."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        if not self._small(input):
            return super().forward(input)
        images = input.to(torch.get_autocast_dtype("cpu"))
        with torch.autocast("cpu", enabled=False):
            maps = convolve(images, self.weight, self.stride[0])
            return maps if self.bias is None else maps + self.bias.to(maps.dtype)[:, None, None]

    def _small(self, images: Tensor) -> bool:
        if images.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return False
        size, stride = self.kernel_size[0], self.stride[0]
        square = self.kernel_size == (size, size) and self.stride == (stride, stride)
        same = size % 2 == 1 and self.padding == (size // 2, size // 2)
        plain = self.groups == 1 and self.dilation == (1, 1) and self.padding_mode == "zeros"
        return square and same and plain and _pixels(images, stride) <= _SMALL


def convolve(images: Tensor, weights: Tensor, stride: int) -> Tensor:
    """Convolve [B, C, H, W] with an odd square kernel [O, C, k, k], half of it as padding.

    It computes in the type of the images; the gradient of wider weights is summed in theirs.
    """
    return cast(Tensor, _Convolution.apply(images, weights, stride))


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weights: Tensor, stride: int) -> Tensor:
        kernel = weights.to(images.dtype)
        ctx.save_for_backward(images, kernel)
        ctx.stride, ctx.wide = stride, weights.dtype
        if _pixels(images, stride) > _TINY:
            return conv2d(images, kernel, stride=stride, padding=kernel.shape[2] // 2)
        # Rows of the kernel's matrix are (row, column, channel), as those of `_columns`.
        return _times(images, kernel.permute(0, 2, 3, 1).flatten(1).T, kernel.shape[2], stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, kernel = ctx.saved_tensors
        to_images = to_weights = None
        if ctx.needs_input_grad[0]:
            to_images = _images_gradient(gradient, images, kernel, ctx.stride)
        if ctx.needs_input_grad[1]:
            to_weights = _weights_gradient(gradient, images, kernel, ctx.stride).to(ctx.wide)
        return to_images, to_weights, None


def _images_gradient(gradient: Tensor, images: Tensor, kernel: Tensor, stride: int) -> Tensor:
    size = kernel.shape[2]
    if stride == 1 and _pixels(images, stride) <= _TINY:
        # It is a convolution itself, with the kernel turned around.
        turned = torch.cat(kernel.permute(2, 3, 0, 1).flatten(0, 1).unbind()[::-1])
        return _times(gradient, turned, size, 1)
    result: Tensor = torch.ops.aten.convolution_backward(
        gradient,
        images,
        kernel,
        None,
        [stride, stride],
        [size // 2, size // 2],
        [1, 1],
        False,
        [0, 0],
        1,
        [True, False, False],
    )[0]
    return result


def _weights_gradient(gradient: Tensor, images: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """A product for each row of the kernel, of the map's rows that it saw."""
    outputs, inputs, size, _ = kernel.shape
    wide = torch.promote_types(images.dtype, torch.float32)
    total = torch.empty(outputs, size, size * inputs, dtype=wide)
    height, width = _halved(images, stride)
    bytes_each = images.shape[2] * width * size * inputs * images.element_size()
    parts = _split(gradient, bytes_each), _split(images, bytes_each)
    for i, (some, theirs) in enumerate(zip(*parts, strict=True)):
        # Rows of the map come first, so that a range of them is a matrix.
        rows, seen = some.permute(2, 0, 3, 1).contiguous(), _across(theirs, size, stride)
        for y in range(size):
            of, on = _overlap(y - size // 2, stride, height, images.shape[2])
            columns = seen[on].reshape(-1, size * inputs)
            product = rows[of].reshape(-1, outputs).T @ columns
            if i == 0:
                total[:, y] = product
            else:
                total[:, y] += product
    return total.view(outputs, size, size, inputs).permute(0, 3, 1, 2)


def _across(images: Tensor, size: int, stride: int) -> Tensor:
    """The pixels under a row of the kernel at each place of a row, [H, B, w, size * C]."""
    count, channels, height, width = images.shape
    _, places = _halved(images, stride)
    rows = images.permute(2, 0, 3, 1)
    seen = torch.empty(height, count, places, size, channels, dtype=images.dtype)
    for x in range(size):
        of, on = _overlap(x - size // 2, stride, places, width)
        seen[:, :, of, x] = rows[:, :, on]
        seen[:, :, : of.start, x] = 0
        seen[:, :, of.stop :, x] = 0
    return seen.flatten(3)


def _overlap(shift: int, stride: int, places: int, pixels: int) -> tuple[slice, slice]:
    """The places of a kernel whose pixel, ``shift`` from its middle, is on the map; and those."""
    first = max(0, -(shift // stride))
    last = max(first, min(places, (pixels - 1 - shift) // stride + 1))
    start = first * stride + shift
    return slice(first, last), slice(start, start + (last - first) * stride, stride)


def _times(images: Tensor, matrix: Tensor, size: int, stride: int) -> Tensor:
    """The product of what the kernel sees with its ``matrix``, as maps [B, channels, h, w]."""
    blocks = torch.split(matrix, _BLOCK, dim=1)
    rows = torch.cat(
        [
            torch.cat([columns @ block for block in blocks], dim=1)
            for columns in _columns(images, size, stride)
        ]
    )
    height, width = _halved(images, stride)
    return rows.view(len(images), height, width, -1).permute(0, 3, 1, 2)


def _columns(images: Tensor, size: int, stride: int) -> Iterator[Tensor]:
    """The pixels under the kernel at each place, [b * h * w, size * size * C], by b images."""
    half = size // 2
    height, width = _halved(images, stride)
    channels = images.shape[1]
    bytes_each = height * width * size * size * channels * images.element_size()
    for some in _split(images.permute(0, 2, 3, 1), bytes_each):
        padded = pad(some, (0, 0, half, half, half, half)).contiguous()
        each, down, right, _ = padded.stride()
        seen = padded.as_strided(
            (len(some), height, width, size, size, channels),
            (each, down * stride, right * stride, down, right, 1),
        )
        yield seen.reshape(-1, size * size * channels)


def _split(images: Tensor, bytes_each: int) -> tuple[Tensor, ...]:
    """Equal parts whose matrices, ``bytes_each`` an image, are not too large."""
    parts = -(-len(images) * bytes_each // _BYTES)
    return torch.split(images, -(-len(images) // parts))


def _halved(images: Tensor, stride: int) -> tuple[int, int]:
    """Height and width of the map that a kernel with padding makes with that ``stride``."""
    return -(-images.shape[2] // stride), -(-images.shape[3] // stride)


def _pixels(images: Tensor, stride: int) -> int:
    height, width = _halved(images, stride)
    return height * width
