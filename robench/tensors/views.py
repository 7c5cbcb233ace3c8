"""The published ways to make random views for contrastive learning on CIFAR."""

from robench.tensors.augment import Augment


def simclr_views(colour: float, crop: float) -> Augment:
    """Crop, flip, colour distortion of strength ``colour``, grayscale.

    SimCLR, appendix A; CLAE's simclr.py:11-26. ``crop`` is the smallest share of the area that
    is shown. Raises ValueError for values out of range.
    """
    return Augment(crop_scale=(crop, 1.0), jitter=_jitter(colour), order="crop-first")


def rocl_views(colour: float, crop: float) -> Augment:
    """The same in RoCL's order: colour, grayscale, flip, crop (src/data_loader.py:8-23)."""
    return Augment(crop_scale=(crop, 1.0), jitter=_jitter(colour), order="colour-first")


def instance_views(colour: float, crop: float) -> Augment:
    """Crop, jitter, grayscale, flip: every image is jittered, all four strengths are ``colour``.

    CLAE's Plain and UEL branches (Plain/main.py:128-133). Raises ValueError for values out of
    range.
    """
    jitter = (colour, colour, colour, colour)
    return Augment(crop_scale=(crop, 1.0), jitter=jitter, jitter_probability=1.0, order="flip-last")


def _jitter(colour: float) -> tuple[float, float, float, float]:
    # SimCLR, appendix A: strength s is a jitter of (0.8 s, 0.8 s, 0.8 s, 0.2 s), applied to 80%.
    return (0.8 * colour, 0.8 * colour, 0.8 * colour, 0.2 * colour)
