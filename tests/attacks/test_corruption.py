"""The corruptions against their formulas, Pillow, and counts of what they change."""

import colorsys
import io

import numpy as np
import pytest
import torch
from attacking import call, flimsy
from PIL import Image

from robench.attacks._blurs_and_noise import blur_along
from robench.attacks._weather_and_files import plasma
from robench.attacks.corruption import EXTRA, KINDS, Corruption, corrupted
from robench.catalog.catalog import Catalog

EVERY = KINDS + EXTRA
SMOOTH = np.cumsum(np.random.default_rng(0).normal(0, 9, (32, 32, 3)), 0) + 120
PHOTO = SMOOTH.clip(0, 255).astype(np.uint8)
GREY = np.full((32, 32, 3), 128, np.uint8)


@pytest.mark.parametrize("kind", EVERY)
def test_each_changes_more_as_it_gets_more_severe_and_is_its_own_again(kind: str) -> None:
    made = [corrupted(PHOTO, kind, severity) for severity in range(1, 6)]
    assert all((one.shape, one.dtype) == ((32, 32, 3), np.uint8) for one in made)
    assert np.array_equal(made[0], corrupted(PHOTO.copy(), kind, 1))
    change = [np.abs(one.astype(int) - PHOTO).mean() for one in made]
    assert change[4] > 0
    if kind not in ("saturate", "glass-blur", "elastic-transform"):  # their constants go both ways
        assert change[4] > change[0]


def test_the_files_are_pillow_s() -> None:
    for severity, quality in enumerate((80, 65, 58, 50, 40), 1):
        file = io.BytesIO()
        Image.fromarray(PHOTO).save(file, "JPEG", quality=quality)
        expected = np.asarray(Image.open(file))
        assert np.array_equal(corrupted(PHOTO, "jpeg-compression", severity), expected)
    for severity, side in enumerate((30, 28, 27, 24, 20), 1):
        box = Image.Resampling.BOX
        expected = np.asarray(
            Image.fromarray(PHOTO).resize((side, side), box).resize((32, 32), box)
        )
        assert np.array_equal(corrupted(PHOTO, "pixelate", severity), expected)


def test_contrast_and_colours_are_their_formulas_pixel_by_pixel() -> None:
    x = PHOTO / 255
    means = x.reshape(-1, 3).mean(0)
    expected = np.floor(np.clip((x - means) * 0.15 + means, 0, 1) * 255 + 1e-6)
    assert np.array_equal(corrupted(PHOTO, "contrast", 5), expected)
    for kind, change in (
        ("brightness", lambda h, s, v: (h, s, min(v + 0.15, 1))),
        ("saturate", lambda h, s, v: (h, min(s * 1.5, 1), v)),
    ):
        made = corrupted(PHOTO, kind, 3)
        for at in np.ndindex(32, 32):
            value = colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*x[at].tolist())))
            assert np.abs(made[at] - 255 * np.array(value)).max() < 1.001


def test_noises_have_their_constants() -> None:
    large = np.full((128, 128, 3), 128, np.uint8)
    for severity, sd in enumerate((0.04, 0.06, 0.08, 0.09, 0.10), 1):
        assert corrupted(large, "gaussian-noise", severity).std() / 255 == pytest.approx(
            sd, rel=0.03
        )
    for severity, share in enumerate((0.01, 0.02, 0.03, 0.05, 0.07), 1):
        hit = corrupted(large, "impulse-noise", severity) != 128
        assert hit.mean() == pytest.approx(share, rel=0.15)
    for severity, photons in enumerate((500, 250, 100, 75, 50), 1):
        made = corrupted(large, "shot-noise", severity) / 255
        assert made.var() == pytest.approx(128 / 255 / photons, rel=0.05)
    for severity, sd in enumerate((0.06, 0.1, 0.12, 0.16, 0.2), 1):
        made = corrupted(large, "speckle-noise", severity)
        assert made.std() / 255 == pytest.approx(sd * 128 / 255, rel=0.05)


@pytest.mark.parametrize(
    "kind", [one for one in EVERY if "blur" in one or one in ("contrast", "pixelate")]
)
def test_what_only_moves_pixels_leaves_a_plain_image(kind: str) -> None:
    assert np.abs(corrupted(GREY, kind, 5).astype(int) - 128).max() <= 1


def test_motion_is_half_a_gaussian_along_a_line() -> None:
    point = np.zeros((41, 41))
    point[20, 20] = 1
    made = blur_along(point, 8, 2.0, 0)
    weights = np.exp(-(np.arange(17) ** 2) / 8)
    line = made[20] / made.sum()
    assert made.sum() == pytest.approx(1)
    assert np.allclose(line[20:3:-1], weights / weights.sum())
    assert np.allclose(blur_along(point, 8, 2.0, 90)[:, 20], made[20])


def test_plasma_is_a_height_map_of_any_size() -> None:
    made = plasma(20, 3, np.random.default_rng(0))
    assert made.shape == (32, 32)
    assert (made.min(), made.max()) == (0, 1)


def test_an_image_is_corrupted_alike_in_any_batch_and_for_any_model() -> None:
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1)).mul(255).round()
    images, labels = images / 255, torch.zeros(5, dtype=torch.int64)
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), flimsy())
    attack = Corruption("fog", 2)
    both = call(attack, model, images, labels, seed=1).images
    alone = call(attack, model, images[3:4], labels[3:4], seed=2).images
    assert torch.equal(both[3:4], alone)
    assert attack.ball is None
    assert not attack.needs


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"kind": "fogg"}, "did you mean fog"), ({"severity": 6}, "severity=6 should be from 1 to 5")],
)
def test_what_is_no_corruption_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Corruption(**arguments)  # type: ignore[arg-type]


def test_the_preset_has_each_of_the_15_at_each_severity() -> None:
    preset = Catalog().preset("corruptions")
    asked = [Catalog().build("attacks", one) for one in preset.attacks]
    assert asked == [Corruption(kind, severity) for kind in KINDS for severity in range(1, 6)]
