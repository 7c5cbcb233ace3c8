"""The oracle is torchvision, one image at a time."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor
from torchvision import transforms
from torchvision.transforms import functional

from robench.tensors import augment as ours
from robench.tensors.augment import Augment, Boxes, Jitter
from robench.tensors.learners import instance_views, rocl_views, simclr_views

# simclr.py:11-26 of CLAE, src/data_loader.py:8-23 of RoCL (strength 0.5: src/argument.py:129),
# Plain/main.py:128-133 and UEL/main.py:113-118.
CLAE, ROCL, UEL = simclr_views(1.0, 0.08), rocl_views(0.5, 0.08), instance_views(0.4, 0.2)
PIPELINES = pytest.mark.parametrize("augment", [CLAE, ROCL, UEL], ids=["clae", "rocl", "uel"])
PRECISIONS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
OPERATIONS = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")
UNLIKELY = 0.001  # fixed seeds: a p-value below this is a wrong distribution


def dice(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def pictures(count: int, height: int = 32, width: int = 32) -> Tensor:
    """Noise, and the pixels where formulas break: black, white, grey, primaries, equal channels."""
    images = torch.rand(count, 3, height, width, generator=dice(1))
    images[0], images[1], images[2] = 0, 1, 0.5
    images[3] = images[3].round()
    images[4, 0], images[5, 1], images[6, 2] = images[4, 1], images[5, 2], images[6, 0]
    images[7] *= 1e-6
    return images


def one_by_one(images: Tensor, change: Callable[..., Tensor], *parameters: Any) -> Tensor:
    return torch.stack([change(*each) for each in zip(images, *parameters, strict=True)])


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def same_distribution(drawn: Tensor, expected: Tensor) -> bool:
    return bool(stats.ks_2samp(drawn.numpy(), expected.numpy()).pvalue > UNLIKELY)


@PRECISIONS
@pytest.mark.parametrize("name", OPERATIONS)
def test_adjustments_are_torchvisions(name: str, dtype: torch.dtype) -> None:
    images = pictures(32).to(dtype)
    draws = torch.rand(32, generator=dice(2))
    factors = draws - 0.5 if name == "adjust_hue" else 2 * draws
    edges = (-0.5, 0.5, 0, 1 / 3) if name == "adjust_hue" else (0, 0, 1, 2)
    factors[[3, 4, 5, 6]] = torch.tensor(edges, dtype=torch.float32)
    expected = one_by_one(images, getattr(functional, name), factors.tolist())
    assert_same(getattr(ours, name)(images, factors), expected)


@PRECISIONS
def test_grayscale_is_torchvisions(dtype: torch.dtype) -> None:
    images = pictures(16, 8, 12).to(dtype)
    assert_same(ours.rgb_to_grayscale(images), functional.rgb_to_grayscale(images))


@PRECISIONS
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(32, 32), (20, 48), (7, 5)])
def test_resized_crop_is_torchvisions(
    size: tuple[int, int], antialias: bool, dtype: torch.dtype
) -> None:
    images = pictures(64, *size).to(dtype)
    boxes = ours.random_boxes(64, size, (0.01, 1), (0.3, 3), dice(3))
    whole, pixel = (0, 0, *size), (size[0] - 1, size[1] - 1, 1, 1)
    for field, first, second in zip(boxes, whole, pixel, strict=True):
        field[8], field[9] = first, second

    def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
        return functional.resized_crop(
            image, top, left, height, width, list(size), antialias=antialias
        )

    expected = one_by_one(images, crop, *(field.tolist() for field in boxes))
    assert_same(ours.resized_crop(images, boxes), expected)


def jitter_by_hand(images: Tensor, jitter: Jitter) -> Tensor:
    def adjust(image: Tensor, factors: Tensor, order: Tensor, applied: Tensor) -> Tensor:
        for column in order.tolist() if applied else ():
            image = getattr(functional, OPERATIONS[column])(image, factors[column].item())
        return image

    return one_by_one(images, adjust, *jitter)


def test_jitter_goes_in_each_images_own_order() -> None:
    images = pictures(128, 8, 8)
    jitter = ours.random_jitter(128, (0.8, 0.8, 0.8, 0.2), 0.7, dice(4))
    assert_same(ours.color_jitter(images, jitter), jitter_by_hand(images, jitter))


@PRECISIONS
@pytest.mark.parametrize("padding", [1, 4])
def test_random_crops_are_torchvisions(padding: int, dtype: torch.dtype) -> None:
    images = pictures(64, 8, 6).to(dtype)
    offsets = torch.randint(2 * padding + 1, (2, 64, 1, 1), generator=dice(5)).flatten(1)

    def crop(image: Tensor, top: int, left: int) -> Tensor:
        padded = functional.pad(image, [padding])
        return functional.crop(padded, top, left, 8, 6)

    expected = one_by_one(images, crop, *offsets.tolist())
    assert torch.equal(ours.random_crop(images, padding, dice(5)), expected)
    for offset in offsets:
        assert set(offset.tolist()) == set(range(2 * padding + 1))


def test_half_of_the_images_are_flipped() -> None:
    images = torch.rand(2000, 3, 1, 4, generator=dice(1))
    flipped = ours.random_hflip(images, dice(2))
    kept = (flipped == images).flatten(1).all(1)
    assert 0.47 < kept.double().mean() < 0.53
    assert torch.equal(flipped[~kept], functional.hflip(images[~kept]))


def view_by_hand(images: Tensor, augment: Augment, generator: Generator) -> Tensor:
    """The published pipeline, from the same draws in the same order."""
    count, size = len(images), (images.shape[2], images.shape[3])

    def chosen(probability: float) -> Tensor:
        return torch.rand(count, generator=generator) < probability

    def crop(images: Tensor) -> Tensor:
        boxes = ours.random_boxes(count, size, augment.crop_scale, augment.crop_ratio, generator)
        resized = transforms.functional.resized_crop
        sizes = [list(size)] * count
        return one_by_one(images, resized, *(field.tolist() for field in boxes), sizes)

    def flip(images: Tensor) -> Tensor:
        return one_by_one(
            images, lambda i, yes: functional.hflip(i) if yes else i, chosen(augment.flip)
        )

    def jitter(images: Tensor) -> Tensor:
        drawn = ours.random_jitter(count, augment.jitter, augment.jitter_probability, generator)
        return jitter_by_hand(images, drawn)

    def grayscale(images: Tensor) -> Tensor:
        grey = functional.rgb_to_grayscale
        return one_by_one(
            images, lambda i, yes: grey(i, 3) if yes else i, chosen(augment.grayscale)
        )

    in_order = {
        CLAE: (crop, flip, jitter, grayscale),
        ROCL: (jitter, grayscale, flip, crop),
        UEL: (crop, jitter, grayscale, flip),
    }
    for step in in_order[augment]:
        images = step(images)
    return images


@PIPELINES
def test_published_pipelines(augment: Augment) -> None:
    images = pictures(64)
    assert_same(augment(images, dice()), view_by_hand(images, augment, dice()))


@pytest.mark.parametrize("views", [simclr_views, rocl_views, instance_views])
def test_the_least_area_that_a_view_shows_is_as_given(views: Callable[..., Augment]) -> None:
    assert views(colour=0.5, crop=0.3).crop_scale == (0.3, 1.0)


def test_the_published_strengths() -> None:
    assert Augment(jitter=(0.8, 0.8, 0.8, 0.2)) == CLAE
    assert ROCL.jitter == (0.4, 0.4, 0.4, 0.1)
    assert (UEL.crop_scale, UEL.jitter, UEL.jitter_probability) == ((0.2, 1.0), (0.4,) * 4, 1.0)
    usual = CLAE.crop_scale, CLAE.crop_ratio, CLAE.flip, CLAE.jitter_probability, CLAE.grayscale
    assert usual == ((0.08, 1.0), (3 / 4, 4 / 3), 0.5, 0.8, 0.2)


@pytest.mark.parametrize(
    ("size", "ratio"),
    [((32, 32), (3 / 4, 4 / 3)), ((20, 48), (3 / 4, 4 / 3)), ((32, 32), (1.0, 3.0))],
)
def test_boxes_are_distributed_as_torchvisions(
    size: tuple[int, int], ratio: tuple[float, float]
) -> None:
    scale, count = (0.08, 1.0), 4000
    image = torch.empty(3, *size)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        draw = transforms.RandomResizedCrop.get_params
        theirs = [draw(image, list(scale), list(ratio)) for _ in range(count)]
    expected = Boxes(*torch.tensor(theirs).unbind(1))
    drawn = ours.random_boxes(count, size, scale, ratio, dice(5))
    for box in (drawn, expected):
        assert bool((box.top >= 0).all() and (box.top + box.height <= size[0]).all())
        assert bool((box.left >= 0).all() and (box.left + box.width <= size[1]).all())
    for statistic in (
        lambda box: box.height * box.width,
        lambda box: box.width / box.height,
        lambda box: box.top,
        lambda box: box.left,
        lambda box: (box.top / (size[0] - box.height))[box.height < size[0]],
        lambda box: (box.left / (size[1] - box.width))[box.width < size[1]],
    ):
        assert same_distribution(statistic(drawn), statistic(expected))


@pytest.mark.parametrize(
    ("size", "ratio"),
    [((32, 32), (2, 3)), ((32, 32), (0.3, 0.5)), ((31, 33), (4, 5)), ((10, 50), (0.75, 4 / 3))],
)
def test_boxes_that_never_fit_fall_back_to_the_centre(
    size: tuple[int, int], ratio: tuple[float, float]
) -> None:
    boxes = ours.random_boxes(5, size, (1, 1), ratio, dice())
    image = torch.empty(3, *size)
    expected = transforms.RandomResizedCrop.get_params(image, [1.0, 1.0], list(ratio))
    assert torch.stack(boxes, dim=1).tolist() == [list(expected)] * 5


@pytest.mark.parametrize("strength", [(0.8, 0.8, 0.8, 0.2), (0.4, 1.5, 0.0, 0.5)])
def test_factors_are_distributed_as_torchvisions(
    strength: tuple[float, float, float, float],
) -> None:
    count = 4000
    theirs = transforms.ColorJitter(*strength)
    ranges = theirs.brightness, theirs.contrast, theirs.saturation, theirs.hue
    with torch.random.fork_rng():
        torch.manual_seed(6)
        draws = [theirs.get_params(*ranges)[1:] for _ in range(count)]
    factors = ours.random_jitter(count, strength, 0.8, dice(6)).factors
    for column, expected in enumerate(zip(*draws, strict=True)):
        if expected[0] is None:  # torchvision leaves out what has no strength
            assert bool((factors[:, column] == 1).all())
        else:
            assert same_distribution(factors[:, column], torch.tensor(expected))


def test_every_order_of_the_jitter_is_equally_likely() -> None:
    order = ours.random_jitter(4800, (0.4, 0.4, 0.4, 0.1), 0.8, dice(7)).order
    _, counts = order.unique(dim=0, return_counts=True)
    assert len(counts) == math.factorial(4)
    assert order.sort(dim=1).values.unique(dim=0).tolist() == [[0, 1, 2, 3]]
    assert stats.chisquare(counts.numpy()).pvalue > UNLIKELY


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_probabilities(share: float) -> None:
    count = 2000
    images = torch.rand(1, 3, 4, 4, generator=dice()).expand(count, -1, -1, -1)
    still = {"crop_scale": (1, 1), "crop_ratio": (1, 1), "flip": 0, "jitter_probability": 0}
    for change in ({"flip": share}, {"jitter_probability": share}, {"grayscale": share}):
        views = Augment(**{**still, "grayscale": 0, **change})(images, dice(8))  # type: ignore[arg-type]
        changed = int((views != images).flatten(1).any(1).sum())
        assert stats.binomtest(changed, count, share).pvalue > UNLIKELY, change


@PRECISIONS
@PIPELINES
def test_views_stay_images_and_arguments_stay_untouched(
    augment: Augment, dtype: torch.dtype
) -> None:
    images = pictures(256, 16, 16).to(dtype)
    before, state = images.clone(), torch.get_rng_state()
    views = augment(images, dice())
    assert views.shape == images.shape
    assert views.dtype == dtype
    assert bool((views >= 0).all() and (views <= 1).all())
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


@PIPELINES
def test_the_generator_alone_decides(augment: Augment) -> None:
    images, generator = pictures(32), dice()
    view, another = augment(images, generator), augment(images, generator)
    same = images[8:9].expand(8, -1, -1, -1)
    assert len(augment(same, dice()).unique(dim=0)) == 8
    assert torch.equal(view, augment(images, dice()))
    assert not torch.equal(view, another)
    assert_same(view.double(), augment(images.double(), dice()))


@PIPELINES
def test_images_do_not_see_each_other(augment: Augment) -> None:
    images = pictures(32)
    others = 1 - images
    others[::5] = images[::5]
    assert torch.equal(augment(images, dice())[::5], augment(others, dice())[::5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop_scale": (1.5, 1.0)}, "crop=1.5 should be a share of the area"),
        ({"crop_scale": (0, 1.0)}, "crop=0 should be"),
        ({"jitter": (0.4, 0.4, 0.4, 0.6)}, "hue's at most 0.5"),
        ({"jitter": (0.4, -0.4, 0.4, 0.1)}, "no strength is negative"),
    ],
)
def test_bad_settings_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augment(**arguments)


@PRECISIONS
@pytest.mark.parametrize("size", [(16, 24), (32, 32)])
def test_blur_is_torchvisions(size: tuple[int, int], dtype: torch.dtype) -> None:
    images = pictures(16, *size).to(dtype)
    sigma = torch.empty(16).uniform_(0.1, 2, generator=dice(6))

    def blur(image: Tensor, sigma: float) -> Tensor:
        return functional.gaussian_blur(image, [2 * size[1] - 1, 2 * size[0] - 1], [sigma, sigma])

    assert_same(ours.gaussian_blur(images, sigma), one_by_one(images, blur, sigma.tolist()))


@pytest.mark.parametrize("step", ["blur", "solarize"])
def test_blur_and_solarisation_come_to_the_share_of_images_that_is_asked(step: str) -> None:
    images = torch.rand(2000, 3, 6, 6, generator=dice(7))
    made = Augment(order=(step,), **{step: 0.3})(images, dice(8))
    changed = (made != images).flatten(1).any(1)
    assert 0.25 < changed.float().mean() < 0.35
    if step == "solarize":
        expected = one_by_one(images[changed], lambda image: functional.solarize(image, 128 / 255))
        assert_same(made[changed], expected)
