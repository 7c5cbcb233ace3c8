"""Faster copies of a model to search with: BatchNorm folded into the convolution before it."""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from robench.tensors.batchnorm import BranchedBatchNorm
from robench.tensors.convolution import QuickConv2d
from robench.tensors.ranks import WideBatchNorm2d

_CLOSE = 1e-3  # of the logits' spread: far over float32's rounding, far under another function


def fast_copy(model: nn.Module, check_on: Tensor) -> nn.Module:
    """A frozen, faster copy of ``model`` in eval mode that computes the same but for rounding.

    BatchNorms are folded into convolutions, and on a CPU the weights are channels-last, which
    oneDNN's kernels prefer. The copy is compared with ``model``, which is in eval mode, on the
    images ``check_on`` [B, 3, H, W]: where a label or any logit differs by more than rounding, or
    no copy can be made, ``model`` itself is returned.
    """
    with torch.no_grad():
        expected = model(check_on)
        try:
            copied = folded(model)
            if check_on.device.type == "cpu":
                copied = copied.to(memory_format=torch.channels_last)
            found = copied(check_on)
        except (RuntimeError, TypeError):  # such as of view(), which takes one layout only
            return model
    same = torch.equal(found.argmax(1), expected.argmax(1))
    spread = (expected.amax(1) - expected.amin(1)).max()  # a bias that all logits share is no size
    return copied if same and (found - expected).abs().max() <= _CLOSE * spread else model


def folded(module: nn.Module) -> nn.Module:
    """A copy of ``module`` in eval mode, with no parameter to train, that computes the same.

    In eval mode BatchNorm is a fixed scale and shift of each channel: (w x - mean) gamma / std +
    beta = (w gamma / std) x + (beta - mean gamma / std). Where a convolution stands right before
    one in an ``nn.Sequential``, the two become one; of a branched BatchNorm it is the branch in
    use; any other BatchNorm is left as it is. Products of matrices and convolutions keep their
    weights in the data type of autocast where that is on, so that they are cast once and not in
    each call.
    """
    with torch.no_grad():
        copied = copy.deepcopy(module).eval()
        for part in list(copied.modules()):
            # Exact types, here and below: a subclass may do something else with its layers.
            if type(part) is nn.Sequential:
                _fold(part)
        device = next((weights.device.type for weights in copied.parameters()), "cpu")
        if torch.is_autocast_enabled(device):
            for layer in copied.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.to(torch.get_autocast_dtype(device))
    return copied.requires_grad_(False)


def _fold(sequence: nn.Sequential) -> None:
    for i, (first, second) in enumerate(pairwise(list(sequence))):
        norm = second.in_use if isinstance(second, BranchedBatchNorm) else second
        if not isinstance(first, nn.Conv2d) or type(first) not in (nn.Conv2d, QuickConv2d):
            continue
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        if type(norm) not in (nn.BatchNorm2d, WideBatchNorm2d):
            continue
        # Computed weights may be something else by the next call. Without running statistics eval
        # mode still takes the batch's.
        if norm.running_mean is not None and isinstance(first.weight, nn.Parameter):
            sequence[i] = fuse_conv_bn_eval(first, norm)
            sequence[i + 1] = nn.Identity().eval()
