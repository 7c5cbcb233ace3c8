"""Whether a probe fitted: its accuracies, the best layer beside it, and features with no spread."""

import numpy as np
import pytest
import torch
from batches import RUN, Small
from faults import corners
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from robench.contracts import Encoder, Probe, ProbeData, Split
from robench.engine.fit import fit_of
from robench.engine.probe import probe
from robench.grid.records import Fit
from robench.probes.aff import AFF
from robench.probes.alf import ALF
from robench.probes.linear import Linear
from robench.probes.linear_adam import LinearAdam
from robench.probes.linear_sgd import LinearSGD
from robench.probes.slf import SLF
from robench.tensors.features import to_images
from robench.tensors.modes import preserved_random_state
from robench.trust.review import underfitted


def part(start: int, stop: int) -> Split:
    """Half of the images are of the first class, so that its bias wins where weights are small."""
    whole = corners(1000)
    rows = np.flatnonzero((whole.labels == 0) | (np.arange(len(whole)) % 12 < 4))[start:stop]
    return Split(whole.images[rows], whole.labels[rows])


TRAIN, HELD_OUT, TEST = part(0, 300), part(300, 400), part(400, 500)


class Pooled(Encoder):
    """The mean of each quarter of the image, moved and scaled."""

    def __init__(self, scale: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.width, self.scale, self.offset = 12, scale, offset

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images, 2).flatten(1) * self.scale + self.offset


class Collapsed(Pooled):
    """Says nearly the same of every image."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, images: Tensor) -> Tensor:
        detail = (1e3 * images.flatten(1)[:, :12]).frac()  # tells images apart, and not classes
        return 5 + self.spread * detail


def fitted(method: Probe, encoder: Encoder) -> tuple[nn.Sequential, Fit]:
    data = ProbeData(TRAIN, HELD_OUT, 4)
    model = probe(method, encoder.eval(), data, Generator().manual_seed(1), RUN)
    return model, fit_of(method, model, data, RUN)


def accuracy(model: nn.Module, split: Split) -> float:
    with torch.no_grad():
        predicted = model.eval()(to_images(split.images, "cpu")).argmax(1)
    return (predicted == torch.tensor(split.labels)).double().mean().item()


WAYS = [(10.0**power, 0.0) for power in range(-9, 7)]
WAYS += [(1.0, -3.0), (1.0, 1e2), (1.0, 1e4), (1e-6, 1e-3), (1e3, 1e6)]


@pytest.mark.parametrize(("scale", "offset"), WAYS)
def test_linear_is_the_same_at_every_scale_and_offset(scale: float, offset: float) -> None:
    usual, _ = fitted(Linear(), Pooled())
    model, fit = fitted(Linear(), Pooled(scale, offset))
    assert accuracy(usual, TEST) > 0.95
    assert abs(accuracy(model, TEST) - accuracy(usual, TEST)) <= 0.01
    assert (fit.train, fit.held_out) == (accuracy(model, TRAIN), accuracy(model, HELD_OUT))
    assert (fit.notes, fit.counts) == ((), {})


@pytest.mark.parametrize("scale", [1e-9, 1e-7, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("method", [LinearAdam(epochs=30), SLF(epochs=30)], ids=str)
def test_a_schedule_that_does_not_reach_the_best_layer_is_flagged(
    method: Probe, scale: float
) -> None:
    model, fit = fitted(method, Pooled(scale))
    assert accuracy(model, TEST) < 0.6
    assert fit.optimum is not None
    assert fit.optimum > 0.95
    assert (fit.train, fit.held_out) == (accuracy(model, TRAIN), accuracy(model, HELD_OUT))
    assert underfitted(fit.counts)
    assert fit.notes == ()


@pytest.mark.parametrize(
    ("method", "scale", "flagged"),
    [
        (LinearSGD(), 1.0, True),
        (LinearSGD(lr=10.0, batch=50, weight_decay=0.0), 1.0, False),
        (LinearAdam(lr=0.1, epochs=300, batch=400), 1.0, False),
        (Linear(strength=1e-3), 1e-9, False),
        (Linear(strength=1e-3), 1e6, False),
        (ALF(epochs=1, steps=1), 1.0, False),  # adversarial images are other images
    ],
    ids=str,
)
def test_one_that_reaches_it_is_not(method: Probe, scale: float, flagged: bool) -> None:
    model, fit = fitted(method, Pooled(scale))
    assert underfitted(fit.counts) is flagged
    if not flagged and method.compared:
        assert accuracy(model, TEST) > 0.9


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("strength", [1e-2, 1e-5])
def test_a_fit_that_converged_carries_no_flag(strength: float, seed: int) -> None:
    with preserved_random_state():
        torch.manual_seed(seed)
        encoder = Small()
    _, fit = fitted(Linear(strength=strength), encoder)
    assert not underfitted(fit.counts)
    assert fit.notes == ()


@pytest.mark.parametrize("method", [Linear(), LinearSGD(), ALF(epochs=1, steps=1)], ids=str)
@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-4, 1e-2])
def test_a_collapsed_encoder_is_named(spread: float, method: Probe) -> None:
    _, fit = fitted(method, Collapsed(spread))
    assert fit.notes == ("constant-features",)
    assert fit.optimum is not None
    assert fit.optimum < 0.5


def test_features_that_vary_and_say_nothing_are_not_constant() -> None:
    _, fit = fitted(Linear(), Collapsed(1.0))
    assert fit.held_out < 0.9
    assert fit.notes == ()


def test_a_finetuned_network_has_its_own_accuracies() -> None:
    with preserved_random_state():
        torch.manual_seed(0)
        encoder = Small()
    model, fit = fitted(AFF(epochs=1, batch=100, steps=1), encoder)
    assert fit == Fit(accuracy(model, TRAIN), accuracy(model, HELD_OUT))


def test_without_a_held_out_part_nothing_is_compared() -> None:
    data = ProbeData(TRAIN, part(0, 0), 4)
    model = probe(SLF(epochs=1), Pooled().eval(), data, Generator(), RUN)
    fit = fit_of(SLF(), model, data, RUN)
    assert fit.held_out == fit.optimum == 0
    assert not underfitted(fit.counts)


def test_features_are_made_once() -> None:
    encoder, seen = Pooled().eval(), []
    encoder.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    fitted(Linear(), encoder)
    assert sum(seen) == len(TRAIN) + len(HELD_OUT)
