"""Random views of images: torchvision's crop, flip, jitter and grayscale, drawn for each image.

Names, constants and random rules are torchvision's, whose own transforms draw once per call and
so would treat a whole batch alike. Images are [B, 3, H, W], float32 or float64 in [0, 1]; every
``factor`` is [B]. Arguments are left as they are.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

_ATTEMPTS = 10  # torchvision's RandomResizedCrop.get_params
_SIGMA = 0.1, 2.0  # SimCLR, appendix A
_TINY = 1e-12  # grey pixels have any hue, but none that is 0 / 0


class Boxes(NamedTuple):
    """One crop per image, in whole pixels: each field is [B]."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


class Jitter(NamedTuple):
    """One colour jitter per image.

    ``factors`` [B, 4] are those of brightness, contrast, saturation and hue; ``order`` [B, 4] says
    which of the four, by its column, comes first, second, third and last; ``applied`` [B] says
    whether the image is jittered at all.
    """

    factors: Tensor
    order: Tensor
    applied: Tensor


@dataclass(frozen=True)
class Augment:
    """Makes one random view of each image.

    ``crop_scale`` is the crop's share of the image's area and ``crop_ratio`` its width / height;
    the crop is resized to the image's own H x W. ``jitter`` is the strength of brightness,
    contrast, saturation and hue. ``flip``, ``jitter_probability``, ``grayscale``, ``blur`` and
    ``solarize`` are probabilities. ``order`` has the names of the steps that are taken.

    Raises ValueError for a crop or jitter outside its range.
    """

    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    jitter_probability: float = 0.8
    grayscale: float = 0.2
    order: tuple[str, ...] = ("crop", "flip", "jitter", "grayscale")
    blur: float = 0.0
    solarize: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.crop_scale
        if not 0 < low <= high:
            raise ValueError(f"crop={low} should be a share of the area, over 0 and at most {high}")
        if min(self.jitter) < 0 or self.jitter[3] > 0.5:
            raise ValueError(
                f"jitter is {self.jitter}; no strength is negative, the hue's at most 0.5"
            )

    def weaker(self, strength: float) -> "Augment":
        """The same at a ``strength`` in [0, 1]: only the flip stays as it is (DynACL, eq. 3)."""
        brightness, contrast, saturation, hue = (one * strength for one in self.jitter)
        return replace(
            self,
            crop_scale=(1 - (1 - self.crop_scale[0]) * strength, self.crop_scale[1]),
            jitter=(brightness, contrast, saturation, hue),
            jitter_probability=self.jitter_probability * strength,
            grayscale=self.grayscale * strength,
        )

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """One view of each image, in [0, 1]; ``generator`` lives on the images' device."""
        count, size = len(images), (images.shape[2], images.shape[3])
        with torch.autocast(images.device.type, enabled=False):  # pixels keep their precision
            for step in self.order:
                match step:
                    case "crop":
                        scale, ratio = self.crop_scale, self.crop_ratio
                        boxes = random_boxes(count, size, scale, ratio, generator)
                        images = resized_crop(images, boxes)
                    case "flip":
                        images = random_hflip(images, generator, self.flip)
                    case "jitter":
                        probability = self.jitter_probability
                        jitter = random_jitter(count, self.jitter, probability, generator)
                        images = color_jitter(images, jitter)
                    case "grayscale":
                        grey = _chosen(count, self.grayscale, generator).nonzero().squeeze(1)
                        luma = rgb_to_grayscale(images[grey]).expand(-1, 3, -1, -1)
                        images = images.index_copy(0, grey, luma)
                    case "blur":
                        sigma = _uniform((count,), *_SIGMA, generator)
                        blurred = _chosen(count, self.blur, generator).view(-1, 1, 1, 1)
                        images = torch.where(blurred, gaussian_blur(images, sigma), images)
                    case "solarize":
                        solarized = _chosen(count, self.solarize, generator).view(-1, 1, 1, 1)
                        images = torch.where(solarized & (images >= 128 / 255), 1 - images, images)
        return images


def random_boxes(
    count: int,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: Generator,
) -> Boxes:
    """Crops of images of ``size`` (H, W), as RandomResizedCrop draws them.

    The area is uniform within ``scale``, the logarithm of width / height within ``ratio``, and the
    position among all that fit. Where ten attempts are larger than the image, the crop is the
    largest central one within ``ratio``.
    """
    attempts = (count, _ATTEMPTS)
    area = size[0] * size[1] * _uniform(attempts, *scale, generator)
    aspect = _uniform(attempts, math.log(ratio[0]), math.log(ratio[1]), generator).exp()
    height, width = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (height > 0) & (height <= size[0]) & (width > 0) & (width <= size[1])
    found = fits.any(dim=1)
    first = fits.int().argmax(dim=1, keepdim=True)
    central = _central(size, ratio)
    height = height.gather(1, first).squeeze(1).where(found, central[0])
    width = width.gather(1, first).squeeze(1).where(found, central[1])
    room = size[0] - height, size[1] - width
    top = (_uniform((count,), 0, 1, generator) * (room[0] + 1)).where(found, room[0] / 2)
    left = (_uniform((count,), 0, 1, generator) * (room[1] + 1)).where(found, room[1] / 2)
    return Boxes(top.long(), left.long(), height.long(), width.long())


def random_crop(images: Tensor, padding: int, generator: Generator) -> Tensor:
    """The images shifted by up to ``padding`` pixels each way, black where nothing was.

    As RandomCrop(size, padding) with the images' own size.
    """
    count, _, height, width = images.shape
    padded = pad(images, [padding] * 4).permute(0, 2, 3, 1)
    device = images.device
    top, left = torch.randint(
        2 * padding + 1, (2, count, 1, 1), generator=generator, device=device
    ).unbind()
    rows = top + torch.arange(height, device=device).view(-1, 1)
    columns = left + torch.arange(width, device=device)
    each = torch.arange(count, device=device).view(-1, 1, 1)
    return padded[each, rows, columns].permute(0, 3, 1, 2).contiguous()


def random_hflip(images: Tensor, generator: Generator, probability: float = 0.5) -> Tensor:
    """The images, left and right exchanged in those that are drawn with ``probability``."""
    flipped = _chosen(len(images), probability, generator).nonzero().squeeze(1)
    return images.index_copy(0, flipped, images[flipped].flip(-1))


def crop_and_flip(images: Tensor, generator: Generator) -> Tensor:
    """The field's view of a labelled image: shifted by up to 4 pixels, and flipped or not.

    ACL's train_trades.py:90-94, AdvCL's finetuning_advCL_SLF.py:26-31, DynACL's test_LF.py:90-94
    and test_AFF.py:90-94, TRADES' train_trades_cifar10.py:56-60.
    """
    return random_hflip(random_crop(images, 4, generator), generator)


def random_jitter(
    count: int,
    strength: tuple[float, float, float, float],
    probability: float,
    generator: Generator,
) -> Jitter:
    """Factors and order as ColorJitter draws them, applied with ``probability``.

    Factors are uniform from max(0, 1 - strength) to 1 + strength; the hue's from -strength to
    strength.
    """
    *strengths, hue = strength
    ranges = [*((max(0.0, 1 - s), 1 + s) for s in strengths), (-hue, hue)]
    factors = [_uniform((count,), low, high, generator) for low, high in ranges]
    order = _uniform((count, 4), 0, 1, generator).argsort(dim=1)
    return Jitter(torch.stack(factors, dim=1), order, _chosen(count, probability, generator))


def resized_crop(images: Tensor, boxes: Boxes) -> Tensor:
    """Each image's box, enlarged bilinearly to the whole image, blind to what lies outside it."""
    rows = _enlarge(boxes.top, boxes.height, images.shape[2], images.dtype)
    columns = _enlarge(boxes.left, boxes.width, images.shape[3], images.dtype)
    wide = (images.flatten(1, 2) @ columns.mT).view_as(images)
    return (rows.unsqueeze(1) @ wide).clamp_(0, 1)


def rgb_to_grayscale(images: Tensor) -> Tensor:
    """The luma of each pixel, [B, 1, H, W]; torchvision's weights (ITU-R BT.601, rounded)."""
    red, green, blue = images.tensor_split(3, dim=1)
    return (0.2989 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def color_jitter(images: Tensor, jitter: Jitter) -> Tensor:
    """The four adjustments, each image with its own factors and in its own order."""
    images = images.clone()
    adjustments = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
    for turn in jitter.order.unbind(dim=1):
        for column, adjust in enumerate(adjustments):
            whose = (jitter.applied & (turn == column)).nonzero().squeeze(1)
            changed = adjust(images.index_select(0, whose), jitter.factors[whose, column])
            images.index_copy_(0, whose, changed)
    return images


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Black at factor 0, unchanged at 1, brighter above."""
    return (images * _each(factor, images)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Evenly grey, at the image's mean luma, at factor 0; unchanged at 1."""
    mean = rgb_to_grayscale(images).mean(dim=(1, 2, 3), keepdim=True)
    return _blend(images, mean, _each(factor, images))


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Grayscale at factor 0, unchanged at 1."""
    return _blend(images, rgb_to_grayscale(images), _each(factor, images))


def adjust_hue(images: Tensor, factor: Tensor) -> Tensor:
    """Turns the hue by ``factor`` of a full circle; value and saturation in HSV stay.

    The hue is counted in sixths of the circle: red 0, green 2, blue 4.
    """
    red, green, blue = images.tensor_split(3, dim=1)
    lowest = torch.minimum(torch.minimum(red, green), blue)
    chroma = torch.maximum(torch.maximum(red, green), blue) - lowest
    # HSV's cases in one: how far from red, and to which side. Choosing among cases would take
    # longer than all the rest on a CPU, and so would fresh memory: hence the work in place.
    from_red = (green - red).add_(blue - lowest).div_(chroma.clamp(min=_TINY)).add_(1)
    hue = from_red.copysign_(green - blue)
    hue = hue.div_(6).add_(_each(factor, images)).add_(1).frac_().mul_(6)
    # A primary is fully on within 1 of its own hue around the circle, and fully off beyond 2.
    primaries = torch.tensor([0, 2, 4], device=images.device, dtype=images.dtype).view(3, 1, 1)
    on = (hue - primaries).abs_().sub_(3).abs_().sub_(1).clamp_(0, 1)
    return on.mul_(chroma).add_(lowest).clamp_(0, 1)


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Each image blurred by a Gaussian of its own ``sigma`` [B], in pixels; mirrored at the border.

    As torchvision's with a kernel over the whole image, where PIL's comes near it in three boxes.
    """
    height, width = images.shape[2:]
    rows, columns = (_spread(sigma, size, images.dtype) for size in (height, width))
    wide = (images.flatten(1, 2) @ columns.mT).view_as(images)
    return (rows.unsqueeze(1) @ wide).clamp_(0, 1)


def _spread(sigma: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Matrices [B, size, size] that blur ``size`` pixels, the ones beyond the border mirrored."""
    pixel = torch.arange(size, device=sigma.device, dtype=dtype)
    source = torch.arange(1 - size, 2 * size - 1, device=sigma.device)
    apart = (pixel.view(-1, 1) - source) / sigma.to(dtype).view(-1, 1, 1)
    weights = (-0.5 * apart**2).exp()
    weights = weights / weights.sum(2, keepdim=True)
    mirrored = (size - 1 - (size - 1 - source.abs()).abs()).expand(weights.shape)
    return torch.zeros_like(weights[:, :, :size]).scatter_add_(2, mirrored, weights)


def _blend(images: Tensor, others: Tensor, factor: Tensor) -> Tensor:
    return (images * factor).add_(others * (1 - factor)).clamp_(0, 1)


def _central(size: tuple[int, int], ratio: tuple[float, float]) -> tuple[int, int]:
    """Height and width of the largest crop within ``ratio``."""
    height, width = size
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def _enlarge(start: Tensor, length: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Matrices [B, size, size] that stretch ``length`` pixels from ``start`` on to ``size`` pixels.

    Linear, with pixels centred at half-integers, as in ``interpolate(align_corners=False)``.
    """
    pixel = torch.arange(size, device=start.device, dtype=dtype)
    start, length = start.to(dtype).view(-1, 1, 1), length.to(dtype).view(-1, 1, 1)
    source = (pixel.view(-1, 1) + 0.5) * (length / size) - 0.5
    source = source.clamp(min=0).minimum(length - 1)
    return (1 - (source - (pixel - start)).abs_()).clamp_(min=0)


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    # Always float32, so that float64 images get the same draws.
    draws = torch.empty(shape, device=generator.device, dtype=torch.float32)
    return draws.uniform_(low, high, generator=generator)


def _chosen(count: int, probability: float, generator: Generator) -> Tensor:
    return _uniform((count,), 0, 1, generator) < probability


def _each(factor: Tensor, images: Tensor) -> Tensor:
    return factor.to(images.dtype).view(-1, 1, 1, 1)
