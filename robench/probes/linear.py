"""The linear probe at its optimum: logistic regression on features extracted once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Generator, Tensor, nn

from robench.contracts import Checkpoints, Encoder, Progress, Split
from robench.journal import Journal, Question
from robench.probes._features import features
from robench.probes._layers import zero_layer
from robench.probes._resumable import Resumable
from robench.tensors.logistic import fit_logistic

STRENGTHS: Sequence[float] = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_PATIENCE = 2  # strengths without a gain, after which weaker ones are not tried


@dataclass(frozen=True)
class Linear(Resumable):
    """Logistic regression with an L2 penalty, by full-batch L-BFGS, on standardised features.

    ``strength`` None chooses the L2 strength among powers of ten by accuracy on the held-out part,
    from strong to weak until two in a row gain nothing, and then fits on both parts. The problem is
    convex, so neither a seed nor a schedule decides the result.
    """

    strength: float | None = None
    batch: int = 500

    def __post_init__(self) -> None:
        if self.batch < 1 or (self.strength is not None and self.strength <= 0):
            raise ValueError(f"batch={self.batch} and strength={self.strength} must be positive")

    def resume(
        self,
        encoder: Encoder,
        train: Split,
        held_out: Split,
        classes: int,
        generator: Generator,
        progress: Progress,
        checkpoints: Checkpoints,
    ) -> nn.Module:
        journal = Journal(checkpoints)
        device = next(encoder.parameters()).device
        seen = features(encoder, train, self.batch, progress, journal).double()
        kept = features(encoder, held_out, self.batch, progress, journal).double()
        everything = torch.cat([seen, kept])
        mean, scale = everything.mean(0), everything.std(0).clamp(min=1e-6)
        seen, kept, everything = ((part - mean) / scale for part in (seen, kept, everything))
        labels = torch.tensor(np.concatenate([train.labels, held_out.labels]), device=device)
        strength = self.strength or _select(
            (seen, labels[: len(seen)]), (kept, labels[len(seen) :]), classes, progress, journal
        )
        both = fit_logistic(everything, labels, classes, strength)
        # The standardisation becomes part of the layer: w (f - mean) / scale + b.
        weights = both[:-1] / scale[:, None]
        return _layer(weights, both[-1] - mean @ weights)


def _select(
    train: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
    classes: int,
    progress: Progress,
    journal: Journal,
) -> float:
    best, chosen, start, worse = -1.0, STRENGTHS[0], None, 0
    for strength in progress(STRENGTHS, "linear probe"):
        question = Question(train[1], torch.tensor(strength))
        fit = partial(fit_logistic, *train, classes, strength, start)
        start = journal.tensor(question, fit)
        predicted = (held_out[0] @ start[:-1] + start[-1]).argmax(1)
        accuracy = (predicted == held_out[1]).double().mean().item()
        if accuracy > best:
            best, chosen, worse = accuracy, strength, 0
        else:
            worse += 1
        if worse == _PATIENCE:  # weaker still only overfits, and takes the longest to fit
            break
    return chosen


def _layer(weights: Tensor, bias: Tensor) -> nn.Linear:
    layer = zero_layer(weights.shape[0], weights.shape[1], weights.device)
    with torch.no_grad():
        layer.weight.copy_(weights.T)
        layer.bias.copy_(bias)
    return layer
