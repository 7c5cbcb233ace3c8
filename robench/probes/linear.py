"""The linear probe at its optimum: logistic regression on features extracted once."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from robench.contracts import Encoder, Probe, ProbeData, Run
from robench.probes._descent import linear_layer
from robench.tensors.logistic import fit_logistic, standardised

STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_PATIENCE = 2  # strengths without a gain, after which weaker ones are not tried


@dataclass(frozen=True)
class Linear(Probe):
    """Logistic regression with an L2 penalty, by full-batch L-BFGS, on standardised features.

    ``strength`` None chooses the L2 strength among powers of ten by accuracy on the held-out part,
    from strong to weak until two in a row gain nothing, and then fits on both parts. The problem is
    convex, so neither a seed nor a schedule decides the result.
    """

    strength: float | None = None

    def __post_init__(self) -> None:
        if self.strength is not None and self.strength <= 0:
            raise ValueError(f"strength={self.strength} must be positive")

    @property
    def compared(self) -> bool:
        return self.strength is not None  # else it is the best layer

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        features, labels = data.features(encoder, run)
        everything, mean, scale = standardised(features)
        seen, kept = everything[: len(data.train)], everything[len(data.train) :]
        strength = self.strength or _select(seen, kept, labels, data.classes, run)
        both = fit_logistic(everything, labels, data.classes, strength)
        layer = linear_layer(encoder.width, data.classes, run.device)
        # The standardisation becomes part of the layer: w (f - mean) / scale + b.
        weights = both[:-1] / scale[:, None]
        with torch.no_grad():
            layer.weight.copy_(weights.T)
            layer.bias.copy_(both[-1] - mean @ weights)
        return layer


def _select(seen: Tensor, kept: Tensor, labels: Tensor, classes: int, run: Run) -> float:
    best, chosen, start, worse = -1.0, STRENGTHS[0], None, 0
    for strength in run.progress(STRENGTHS, "linear probe"):
        start = fit_logistic(seen, labels[: len(seen)], classes, strength, start)
        predicted = (kept @ start[:-1] + start[-1]).argmax(1)
        accuracy = (predicted == labels[len(seen) :]).double().mean().item()
        worse += 1
        if accuracy > best:
            best, chosen, worse = accuracy, strength, 0
        if worse == _PATIENCE:  # weaker still only overfits, and takes the longest to fit
            break
    return chosen
