"""CIFAR at the scale of two CPU cores."""

from robench.presets import Preset
from robench.recipe import Recipe

preset = Preset(
    summary="CIFAR subsets of 8,192 images, a small ResNet, 10 epochs: under 90 minutes on two CPU cores",
    methods=("plain", "clae", "rocl"),
    sources=("cifar10", "cifar100"),
    targets=("cifar10", "cifar100"),
    encoders=("resnet8",),
    recipe=Recipe(epochs=10, batch=128, images=8192, lr=2e-3, warmup=1, precision="bf16"),
    probe_images=8192,
    limit=500,
)
