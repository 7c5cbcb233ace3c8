"""The embedded default: procedural images, minutes on two CPU cores."""

from robench.presets import Preset
from robench.recipe import Recipe

preset = Preset(
    summary="procedural images at 16x16, minutes on two CPU cores; shows the whole job, proves nothing",
    methods=("plain", "clae", "rocl"),
    sources=("shapes10", "shapes100"),
    targets=("shapes10", "shapes100"),
    encoders=("resnet8(width=8)",),
    recipe=Recipe(epochs=12, batch=128, images=2048, lr=2e-3, warmup=1),
    limit=100,
)
