"""CIFAR with each method's own schedule, as its authors' code trains it."""

from robench.presets import Preset

preset = Preset(
    summary="all of CIFAR, ResNet-18, each method's own schedule, RoCL's probe: GPU days",
    methods=("plain", "clae", "rocl"),
    sources=("cifar10", "cifar100"),
    targets=("cifar10", "cifar100"),
    encoders=("resnet18",),
    recipe=None,
    probes=("linear-sgd",),
)
