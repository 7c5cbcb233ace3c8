"""A probe killed after every step and gone on from disk ends in the bits of one left alone."""

from pathlib import Path

import pytest
import torch
from batches import probe_data
from killed import Killed, Killing
from torch import Generator, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Data, Encoder, Probe, Run
from robench.engine.probe import probe as fitted
from robench.engine.progress import silent
from robench.probes.slf import SLF
from robench.store import checkpoints as states
from robench.tensors.features import fingerprint

KILLS = {
    "linear-adam(epochs=3, batch=50)": 6,
    "linear-sgd(epochs=3, batch=50)": 9,
    "slf(epochs=3, batch=50, decay='1')": 9,
    "alf(epochs=3, batch=50, decay='2', steps=2)": 9,
    "robust-linear(epochs=3, batch=50, decay='1,2', steps=2)": 9,
    "aff(epochs=3, batch=50, decay='2', steps=2)": 9,
}
"""Probes whose fits are short, and in how many places each is killed."""


def fit(method: Probe, encoder: Encoder, data: Data, *checkpoints: Killing) -> nn.Sequential:
    run = Run(silent, *checkpoints)
    return fitted(method, encoder, probe_data(data), Generator().manual_seed(4), run)


@pytest.mark.parametrize("spec", KILLS)
def test_killed_after_every_step_it_ends_in_the_same_bits(
    spec: str, encoder: Encoder, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "EVERY", 0.0)
    method = Catalog().build("probes", spec)
    whole = fingerprint(fit(method, encoder, data))
    kills = 0
    while True:
        try:
            again = fit(method, encoder, data, Killing(tmp_path))
        except Killed:
            kills += 1
        else:
            break
    assert kills == KILLS[spec]
    assert fingerprint(again) == whole


def test_every_resumable_probe_is_killed_here() -> None:
    named = {spec.partition("(")[0] for spec in KILLS}
    # One that is not is a matter of seconds on features.
    assert named == set(Catalog().names("probes")) - {"knn", "linear", "own"}


def test_rates_are_those_of_torch_s_scheduler_to_the_bit() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.07)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3, 7], gamma=0.1)
    for epoch in range(9):
        assert SLF(lr=0.07, decay="2,3,7").rate(epoch) == optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
