"""Fit a probe on a frozen encoder, and make sure that it stayed frozen."""

from torch import Generator, nn

from robench.contracts import Data, Encoder, Probe, Progress
from robench.tensors.features import fingerprint
from robench.tensors.modes import evaluating, only_evaluating


class ProbeError(Exception):
    """A probe did what a probe must not do."""


def probe(
    method: Probe, encoder: Encoder, data: Data, generator: Generator, progress: Progress
) -> nn.Module:
    """The classifier, features [B, D] to logits [B, K], that the probe fits on the data.

    Raises ProbeError where the encoder was called in train mode, or its parameters, buffers or
    BatchNorm branch changed on the way.
    """
    before = fingerprint(encoder)
    with evaluating(encoder), only_evaluating(encoder, ProbeError):
        classifier = method.fit(
            encoder, data.train, data.held_out, len(data.classes), generator, progress
        )
    if fingerprint(encoder) != before:
        raise ProbeError(
            f"{type(method).__name__} changed the encoder that it was to leave frozen; "
            "its numbers would not be a probe's"
        )
    return classifier.eval()
