"""BatchNorm folded into the convolutions before it: the same function in fewer passes."""

import copy
from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from robench.tensors.batchnorm import CLEAN, DualBatchNorm2d
from robench.tensors.convolution import Conv2d
from robench.tensors.resnet import Network


def folded(module: nn.Module) -> nn.Module:
    """A copy of ``module`` in eval mode, with no parameter to train, that computes the same.

    In eval mode BatchNorm is a fixed scale and shift of each channel: (w x - mean) gamma / std +
    beta = (w gamma / std) x + (beta - mean gamma / std). Where a convolution stands right before
    one in an ``nn.Sequential``, the two become one; of a dual BatchNorm it is the branch in use;
    any other BatchNorm is left as it is. Products of matrices and convolutions keep their weights
    in the data type of autocast where that is on, so that they are cast once and not in each call.
    """
    with torch.no_grad():
        copied = copy.deepcopy(module).eval()
        for part in list(copied.modules()):
            # Exact types: a subclass may do something else with its layers.
            if type(part) in (nn.Sequential, Network):
                _fold(cast(nn.Sequential, part))
        device = next((weights.device.type for weights in copied.parameters()), "cpu")
        if torch.is_autocast_enabled(device):
            for layer in copied.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.to(torch.get_autocast_dtype(device))
    return copied.requires_grad_(False)


def _fold(sequence: nn.Sequential) -> None:
    for i, (first, second) in enumerate(pairwise(list(sequence))):
        norm = second
        if isinstance(norm, DualBatchNorm2d):
            norm = norm.clean if norm.branch == CLEAN else norm.adversarial
        # Computed weights may be something else by the next call.
        if not isinstance(first, nn.Conv2d) or type(first) not in (nn.Conv2d, Conv2d):
            continue
        if type(norm) is not nn.BatchNorm2d:
            continue
        # Without running statistics eval mode still takes the batch's.
        if norm.running_mean is not None and isinstance(first.weight, nn.Parameter):
            sequence[i] = fuse_conv_bn_eval(first, norm)
            sequence[i + 1] = nn.Identity().eval()
