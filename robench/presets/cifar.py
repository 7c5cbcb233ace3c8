"""CIFAR with the papers' encoder and all images, at a schedule that one GPU finishes in a day."""

from robench.grid.recipe import Recipe
from robench.presets import Preset

preset = Preset(
    summary="all of CIFAR, ResNet-18, 200 epochs for every method: one GPU",
    methods=("plain", "clae", "rocl"),
    sources=("cifar10", "cifar100"),
    targets=("cifar10", "cifar100"),
    encoders=("resnet18",),
    recipe=Recipe(
        epochs=200,
        batch=512,
        optimizer="lars",
        lr=1.5,
        weight_decay=1e-6,
        warmup=10,
        precision="bf16",
    ),
)
