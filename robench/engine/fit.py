"""The fit of a probe: its accuracy on the images that it knows, and evidence for flags."""

import torch
from torch import Tensor, nn

from robench.contracts import Probe, ProbeData, Run
from robench.grid.records import Fit
from robench.tensors.logistic import fit_logistic, standardised
from robench.trust import flags

_STRENGTH = 1e-3  # of the best layer's penalty, on standardised features
_NEARLY_CONSTANT = 0.01  # of the features' size: their spread; usual encoders have 0.1 and more


def fit_of(method: Probe, model: nn.Sequential, data: ProbeData, run: Run) -> Fit:
    """The accuracies of the classifier that ``method`` fitted to the data, and evidence.

    A probe that is compared is held against the best linear layer: a logistic regression on the
    training part, to which the held-out part is new. Whoever is below it there did not fit.
    """
    labels, cut = torch.tensor(data.both.labels, device=run.device), len(data.train)
    if method.finetunes:
        right = data.outputs(model, run, "fit").argmax(1) == labels
        return Fit(_share(right[:cut]), _share(right[cut:]))
    features, _ = data.features(model.get_submodule("encoder"), run)
    with torch.no_grad():
        right = model.get_submodule("linear")(features).argmax(1) == labels
    seen, new = right[:cut], right[cut:]
    constant = _nearly_constant(features)
    if not (method.compared or constant):
        return Fit(_share(seen), _share(new))
    known, _, _ = standardised(features)
    weights = fit_logistic(known[:cut], labels[:cut], data.classes, _STRENGTH)
    best = (known[cut:] @ weights[:-1] + weights[-1]).argmax(1) == labels[cut:]
    guessed = labels[cut:] == labels[:cut].mode().values
    # Features far from zero look constant too: they are not, where a layer reads them well.
    collapsed = constant and _share(best) < (1 + _share(guessed)) / 2
    counts = {
        flags.HELD_OUT: len(new),
        flags.BEST_ALONE: int((best & ~new).sum()),
        flags.PROBE_ALONE: int((new & ~best).sum()),
    }
    return Fit(
        _share(seen),
        _share(new),
        _share(best),
        (flags.CONSTANT_FEATURES,) if collapsed else (),
        counts if method.compared else {},
    )


def _share(right: Tensor) -> float:
    return int(right.sum()) / max(1, len(right))  # very few images leave none to hold out


def _nearly_constant(features: Tensor) -> bool:
    known = features.double()
    return bool(known.var(0).sum() <= _NEARLY_CONSTANT**2 * known.square().mean(0).sum())
