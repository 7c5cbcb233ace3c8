"""AutoAttack stopped after any of its attacks continues to the same bits, notes and counts."""

from collections.abc import Callable
from typing import Any

import pyautoattack
import pytest
import torch
from attacking import call
from torch import Tensor, nn

from robench.attacks.autoattack import AutoAttack
from robench.contracts import State

Build = Callable[[int], nn.Module]
Predict = Callable[[nn.Module, Tensor], Tensor]
RADII = {"linf": 0.03, "l2": 0.2, "l1": 1.0}


class Stopped(BaseException):
    """The process ends here."""


class Stopping:
    """Checkpoints of a process that ends at its first safe point."""

    def __init__(self, found: State | None) -> None:
        self.found = found

    def load(self) -> State | None:
        return self.found

    def save_if_due(self, state: Callable[[], State]) -> None:
        self.found = state()
        raise Stopped


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps and queries."""
    begin = pyautoattack.AutoAttack.__init__

    def init(self: pyautoattack.AutoAttack, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        self.apgd.n_iter = self.apgd_targeted.n_iter = self.fab.n_iter = 5
        self.square.n_queries = 20

    monkeypatch.setattr(pyautoattack.AutoAttack, "__init__", init)


@pytest.mark.parametrize(("norm", "classes"), [("linf", 3), ("linf", 10), ("l2", 10), ("l1", 10)])
def test_stopped_after_each_attack_it_ends_in_the_same_bits(
    norm: str, classes: int, curved: Build, images: Tensor, predict: Predict
) -> None:
    model = curved(classes)
    images = torch.cat([images, images.flip(2), images.flip(3)])
    labels = predict(model, images)
    labels[0] = (labels[0] + 1) % classes
    attack = AutoAttack(eps=RADII[norm] / 10, norm=norm)
    whole = call(attack, model, images, labels)
    found, stops = None, 0
    while True:
        checkpoints = Stopping(found)
        try:
            again = call(AutoAttack(attack.eps, norm), model, images, labels, 4, checkpoints)
        except Stopped:
            found, stops = checkpoints.found, stops + 1
        else:
            break
    assert stops == (3 if classes < 4 else 4)
    assert torch.equal(again.images, whole.images)
    assert (again.notes, again.counts) == (whole.notes, whole.counts)
    assert again.fooled_by is not None
    assert whole.fooled_by is not None
    assert torch.equal(again.fooled_by, whole.fooled_by)
    fooled = predict(model, whole.images) != labels
    assert fooled.any()
    assert not fooled.all()
    assert torch.equal(whole.fooled_by[1:] >= 0, fooled[1:])
    assert whole.fooled_by[0] == -1  # it was misclassified to begin with
