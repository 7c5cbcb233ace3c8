"""A probe killed after every step and gone on from disk ends in the bits of one left alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from killed import Killed, Killing
from torch import Generator, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Data, Encoder, Probe, Run, Split
from robench.engine.probe import probe as fitted
from robench.engine.progress import silent
from robench.probes._descent import rate
from robench.store import checkpoints as states
from robench.tensors.features import fingerprint
from robench.tensors.modes import preserved_random_state

KILLS = {
    "linear-adam(epochs=3, batch=20)": 9,
    "linear-sgd(epochs=3, batch=20)": 12,
    "slf(epochs=3, batch=20, decay='1')": 12,
    "alf(epochs=3, batch=20, decay='2', steps=2)": 12,
    "robust-linear(epochs=3, batch=20, decay='1,2', steps=2)": 12,
    "aff(epochs=3, batch=20, decay='2', steps=2)": 12,
    "aff(epochs=3, batch=20, decay='2', steps=2, select=True)": 9,
}
"""Probes whose fits are short, and in how many places each is killed, at least."""


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "EVERY", 0.0)


@pytest.fixture
def data() -> Data:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (90, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(90, dtype=np.int64) % 3
    ends = [(0, 50), (50, 70), (70, 90)]
    parts = [Split(images[start:end], labels[start:end]) for start, end in ends]
    return Data(*parts, classes=("a", "b", "c"))


def make() -> Encoder:
    """With BatchNorm, and always the same."""
    with preserved_random_state():
        torch.manual_seed(0)
        encoder = Catalog().build("encoders", "resnet8(width=4)")
    assert isinstance(encoder, Encoder)
    return encoder.eval()


def fit(method: Probe, data: Data, *checkpoints: Killing) -> nn.Sequential:
    return fitted(method, make(), data, Generator().manual_seed(4), Run(silent, *checkpoints))


@pytest.mark.parametrize("spec", KILLS)
def test_killed_after_every_step_it_ends_in_the_same_bits(
    spec: str, data: Data, tmp_path: Path
) -> None:
    method = Catalog().build("probes", spec)
    whole = fingerprint(fit(method, data))
    kills = 0
    while True:
        try:
            again = fit(method, data, Killing(tmp_path))
        except Killed:
            kills += 1
        else:
            break
    assert kills >= KILLS[spec]
    assert fingerprint(again) == whole


def test_every_resumable_probe_is_killed_here() -> None:
    named = {spec.partition("(")[0] for spec in KILLS}
    # One that is not is a matter of seconds on features.
    assert named == set(Catalog().names("probes")) - {"linear", "own"}


def test_rates_are_those_of_torch_s_scheduler_to_the_bit() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.07)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3, 7], gamma=0.1)
    for epoch in range(9):
        assert rate(0.07, [2, 3, 7], epoch) == optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
