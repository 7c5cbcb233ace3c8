"""Accuracy under common corruptions, each at its five severities."""

from dataclasses import replace

from robench.presets.cifar import preset as cifar

_KINDS = (
    *("gaussian-noise", "shot-noise", "impulse-noise", "defocus-blur", "glass-blur"),
    *("motion-blur", "zoom-blur", "snow", "frost", "fog", "brightness", "contrast"),
    *("elastic-transform", "pixelate", "jpeg-compression"),
)

preset = replace(
    cifar,
    summary="the preset cifar under 15 common corruptions at 5 severities: one GPU",
    attacks=tuple(f"corruption(kind={k}, severity={s})" for k in _KINDS for s in range(1, 6)),
)
