"""CIFAR at the scale of two CPU cores."""

from robench.grid.recipe import Recipe
from robench.presets import EPS, Preset

preset = Preset(
    summary="8,192 images of CIFAR, ResNet-8, 10 epochs: under 90 minutes on two CPU cores",
    methods=("plain", "clae", "rocl"),
    sources=("cifar10", "cifar100"),
    targets=("cifar10", "cifar100"),
    encoders=("resnet8",),
    recipe=Recipe(epochs=10, batch=128, images=8192, lr=2e-3, warmup=1, precision="bf16"),
    radii={"pgd": {**EPS, "linf": ("2/255", "4/255", "8/255")}},
    probe_images=8192,
    limit=500,
)
