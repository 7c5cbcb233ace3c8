"""Fit a probe on a frozen encoder, and make sure that it stayed frozen."""

import copy
from collections import OrderedDict

from torch import Generator, nn

from robench.contracts import (
    NO_CHECKPOINTS,
    Checkpoints,
    Data,
    Encoder,
    Probe,
    ProbeError,
    Progress,
)
from robench.tensors.features import fingerprint
from robench.tensors.modes import evaluating, only_evaluating


def probe(
    method: Probe,
    encoder: Encoder,
    data: Data,
    generator: Generator,
    progress: Progress,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> nn.Sequential:
    """The classifier, images [B, 3, H, W] to logits [B, K], that the probe fits on the data.

    A probe that finetunes is given a copy of the encoder. One that can goes on from what
    ``checkpoints`` have. Raises ProbeError where the encoder was called in train mode, or its
    parameters, buffers or BatchNorm branch changed on the way.
    """
    before = fingerprint(encoder)
    probed = copy.deepcopy(encoder).eval() if method.finetunes else encoder
    with evaluating(encoder), evaluating(probed), only_evaluating(encoder, ProbeError):
        layer = method.resume(
            probed, data.train, data.held_out, len(data.classes), generator, progress, checkpoints
        )
    if fingerprint(encoder) != before:
        raise ProbeError(
            f"{type(method).__name__} changed the encoder that it was to leave frozen; "
            "its numbers would not be a probe's"
        )
    return classifier(probed, layer.eval())


def classifier(encoder: Encoder, linear: nn.Module) -> nn.Sequential:
    """Images to logits: the ``encoder``, and the ``linear`` layer on its features."""
    return nn.Sequential(OrderedDict(encoder=encoder, linear=linear))


def trained(model: nn.Sequential, method: Probe) -> nn.Module:
    """What the probe trained of its classifier: all of it, or the linear layer."""
    return model if method.finetunes else model.get_submodule("linear")
