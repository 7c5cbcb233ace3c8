"""The embedded default: procedural images, minutes on two CPU cores."""

from robench.grid.recipe import Recipe
from robench.presets import EPS, Preset

preset = Preset(
    summary="drawn images of 16x16, minutes on two CPU cores: shows the whole job, proves nothing",
    methods=("plain", "clae", "rocl"),
    sources=("shapes10", "shapes100"),
    targets=("shapes10", "shapes100"),
    encoders=("resnet8(width=8)",),
    recipe=Recipe(epochs=8, batch=128, images=4096, lr=2e-3, warmup=1),
    # AutoAttack takes longest where most images stand: 2/255 would double the run's time.
    radii={
        "pgd": {**EPS, "linf": ("2/255", "4/255", "8/255")},
        "autoattack": {**EPS, "linf": ("4/255",)},
    },
    probe_images=4096,
    limit=200,
)
