"""The published views: strengths and order as the papers and the authors' code have them."""

import pytest

from robench.tensors.augment import Augment
from robench.tensors.views import instance_views, rocl_views, simclr_views


def test_rocl_s_views() -> None:
    # src/data_loader.py:8-23 with strength 0.5 (src/argument.py:129).
    assert rocl_views(0.5, 0.08) == Augment(
        crop_scale=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        flip=0.5,
        jitter=(0.4, 0.4, 0.4, 0.1),
        jitter_probability=0.8,
        grayscale=0.2,
        order="colour-first",
    )


def test_clae_s_views() -> None:
    # SimCLR/modules/transformations/simclr.py:11-26.
    assert simclr_views(1.0, 0.08) == Augment(
        crop_scale=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        flip=0.5,
        jitter=(0.8, 0.8, 0.8, 0.2),
        jitter_probability=0.8,
        grayscale=0.2,
        order="crop-first",
    )


def test_the_views_of_plain_and_uel() -> None:
    # Plain/main.py:128-133, UEL/main.py:113-118.
    assert instance_views(0.4, 0.2) == Augment(
        crop_scale=(0.2, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        flip=0.5,
        jitter=(0.4, 0.4, 0.4, 0.4),
        jitter_probability=1.0,
        grayscale=0.2,
        order="flip-last",
    )


@pytest.mark.parametrize("views", [rocl_views, simclr_views, instance_views])
@pytest.mark.parametrize(("colour", "crop"), [(-1.0, 0.5), (3.0, 0.5), (0.5, 0.0), (0.5, 1.5)])
def test_values_out_of_range_are_refused(views, colour, crop):
    with pytest.raises(ValueError, match=r"it must be|no strength is negative"):
        views(colour, crop)
