"""Fit a probe on an encoder, and check that a frozen one stayed frozen."""

import copy
from collections import OrderedDict
from collections.abc import Mapping

from torch import Generator, Tensor, nn

from robench.contracts import Encoder, Probe, ProbeData, ProbeError, Run
from robench.engine.faults import broken, shown, unchanged
from robench.tensors.modes import evaluating, only_evaluating, usual_modes


def probe(
    method: Probe, encoder: Encoder, data: ProbeData, generator: Generator, run: Run
) -> nn.Sequential:
    """Fit the classifier, images [B, 3, H, W] to logits [B, K].

    A probe that finetunes is given a copy of the encoder. Raises ProbeError where the encoder was
    called in train mode, or it or torch's modes are left changed; they are put back.
    """
    probed = copy.deepcopy(encoder).eval() if method.finetunes else encoder

    def changed(what: str) -> ProbeError:
        what = f"changed the encoder that it was to leave frozen: {what}"
        return ProbeError(broken(method, "fit", what))

    with (
        usual_modes(),
        evaluating(encoder),
        evaluating(probed),
        only_evaluating(encoder, ProbeError),
        unchanged(encoder, changed),
    ):
        layer = method.fit(probed, data, generator, run)
    if not isinstance(layer, nn.Module):
        raise ProbeError(broken(method, "fit", f"fitted {shown(layer)}; expected a module"))
    return _classifier(probed, layer.eval())


def trained(model: nn.Sequential, method: Probe) -> nn.Module:
    """The part of the classifier that the probe trained: all of it, or what is on the encoder."""
    return model if method.finetunes else model.get_submodule("linear")


def rebuilt(
    method: Probe, encoder: Encoder, classes: int, weights: Mapping[str, Tensor]
) -> nn.Sequential:
    """The classifier from the ``state_dict`` of its `trained` part, in eval mode.

    Raises ProbeError for weights that do not fit.
    """
    try:
        if method.finetunes:
            encoder = copy.deepcopy(encoder)
            encoder.load_state_dict(_of("encoder.", weights))
            weights = _of("linear.", weights)
        layer = method.rebuild(encoder.width, classes, weights)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ProbeError(f"{type(method).__name__} has weights that do not fit: {reason}") from None
    return _classifier(encoder, layer).eval()


def _of(part: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(part): tensor for n, tensor in weights.items() if n.startswith(part)}


def _classifier(encoder: Encoder, linear: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(encoder=encoder, linear=linear))
