"""BatchNorm folded into the convolution before it: the same function in eval mode, in less time."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from robench.tensors.batchnorm import CLEAN, DualBatchNorm2d

_CLOSE = 1e-3  # of the largest logit: far over float32's rounding, far under another function


def folded(model: nn.Module, images: Tensor) -> nn.Module:
    """A frozen copy of ``model`` in eval mode, with its BatchNorms folded into convolutions.

    In eval mode BatchNorm2d is a fixed scale and shift of each channel, which a convolution right
    before it in an ``nn.Sequential`` takes into its weights and bias; a dual BatchNorm's current
    branch likewise. On a CPU the weights are channels-last, which oneDNN's kernels prefer. Nothing
    but rounding changes: the copy is held against ``model`` on ``images`` [B, 3, H, W], and where
    a label or any logit differs by more, or no copy can be made, ``model`` itself comes back.
    """
    try:
        quick = copy.deepcopy(model).eval().requires_grad_(False)
    except (RuntimeError, TypeError):
        return model
    for part in quick.modules():
        if type(part) is nn.Sequential:
            _fold_neighbours(part)
    if images.device.type == "cpu":
        quick = quick.to(memory_format=torch.channels_last)
    return quick if _agree(model, quick, images) else model


def _fold_neighbours(layers: nn.Sequential) -> None:
    for i in range(len(layers) - 1):
        convolution, norm = layers[i], layers[i + 1]
        if isinstance(norm, DualBatchNorm2d):
            norm = norm.clean if norm.branch == CLEAN else norm.adversarial
        # Exact types: a subclass, or weights that are computed, may mean something else.
        if type(convolution) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
            continue
        if norm.running_mean is not None and isinstance(convolution.weight, nn.Parameter):
            layers[i], layers[i + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity().eval()


def _agree(model: nn.Module, quick: nn.Module, images: Tensor) -> bool:
    with torch.no_grad():
        expected, found = model(images), quick(images)
    same = torch.equal(found.argmax(1), expected.argmax(1))
    apart = (found - expected).abs().max().item()
    return same and apart <= _CLOSE * expected.abs().max().item()
