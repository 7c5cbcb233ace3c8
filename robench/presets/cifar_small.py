"""CIFAR at the scale of two CPU cores."""

from robench.grid.recipe import Recipe
from robench.presets import EPS, Preset

preset = Preset(
    summary="16,384 images of CIFAR, ResNet-8, 15 epochs: about an hour a seed on two CPU cores",
    methods=("plain", "clae", "rocl"),
    sources=("cifar10", "cifar100"),
    targets=("cifar10", "cifar100"),
    encoders=("resnet8",),
    recipe=Recipe(epochs=15, batch=128, images=16384, lr=2e-3, warmup=1, precision="bf16"),
    radii={
        "pgd": {**EPS, "linf": ("1/255", "2/255", "4/255", "8/255", "16/255")},
        "autoattack": EPS,
    },
    probe_images=16384,
    limit=1000,
)
