"""AutoAttack killed within a batch, in any of its attacks, ends in the bits of one left alone."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyautoattack
import pytest
import torch
from torch import Generator, Tensor, nn

from robench.attacks._recalled import RecalledModel
from robench.attacks.autoattack import AutoAttack
from robench.contracts import NO_CHECKPOINTS, Attacked, Checkpoints, State
from robench.journal import Journal
from robench.tensors.modes import frozen

Build = Callable[[int], nn.Module]
Predict = Callable[[nn.Module, Tensor], Tensor]

RADII = {"linf": 0.006, "l2": 0.06, "l1": 0.2}  # some images stand to the end


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Killing:
    """Checkpoints whose process is killed after so many safe points; the state outlives it."""

    every: int
    left: int = 0
    found: State | None = None
    kept: list[State] = field(default_factory=list)

    def load(self) -> State | None:
        self.left = self.every
        return self.found

    def save_if_due(self, state: Callable[[], State]) -> None:
        self.left -= 1
        if self.left == 0:
            self.found = state()
            self.kept.append(self.found)
            raise Killed


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches of a few steps and queries, of which each is a point to be killed at."""
    begin = pyautoattack.AutoAttack.__init__

    def shorter(self: pyautoattack.AutoAttack, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        for climbing in (self.apgd, self.apgd_targeted):
            climbing.n_iter = climbing.n_iter_orig = 10
        self.fab.n_iter, self.square.n_queries = 5, 40

    monkeypatch.setattr(pyautoattack.AutoAttack, "__init__", shorter)


@pytest.fixture
def many(images: Tensor) -> Tensor:
    return torch.cat([images, images.flip(2), images.flip(3)])


def run(
    norm: str, model: nn.Module, images: Tensor, labels: Tensor, checkpoints: Checkpoints
) -> Attacked:
    """The attack's own copies of the images: it may change what it is given."""
    dice = Generator().manual_seed(4)
    attack = AutoAttack(eps=RADII[norm], norm=norm)
    return attack.resume(model, images.clone(), labels.clone(), dice, checkpoints)


def assert_same(one: Attacked, other: Attacked) -> None:
    assert one[1:] == other[1:]
    assert one.images.numpy().tobytes() == other.images.numpy().tobytes()


def killed(
    norm: str, model: nn.Module, images: Tensor, labels: Tensor, every: int
) -> tuple[Attacked, list[State]]:
    killing = Killing(every)
    while True:
        try:
            made = run(norm, model, images, labels, killing)
        except Killed:
            continue
        print(f"{len(killing.kept)} kills")
        return made, killing.kept


def stage(state: State) -> int:
    """How many attacks are done: of those only images and logits are left, in one batch each."""
    kinds = Counter(len(signs) for signs, _, _ in state.values["levels"][0])
    return kinds[2]  # asked with images and labels


@pytest.mark.parametrize(("norm", "every"), [("linf", 17), ("l2", 50), ("l1", 100)])
@pytest.mark.usefixtures("short")
def test_killed_again_and_again_it_ends_in_the_same_bits(
    norm: str, every: int, curved: Build, many: Tensor, predict: Predict
) -> None:
    model = curved(10)
    labels = predict(model, many)
    whole = run(norm, model, many, labels, NO_CHECKPOINTS)
    assert 0 < (predict(model, whole.images) == labels).sum() < len(many)
    again, states = killed(norm, model, many, labels, every)
    assert_same(again, whole)
    done = {stage(state) for state in states}  # the attacks behind it at each kill
    assert done >= ({0, 1, 2, 3} if norm == "linf" else {1, 2})


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.usefixtures("short")
def test_with_few_classes_too(
    classes: int, curved: Build, images: Tensor, predict: Predict
) -> None:
    model = curved(classes)
    labels = predict(model, images)
    whole = run("linf", model, images, labels, NO_CHECKPOINTS)
    again, states = killed("linf", model, images, labels, every=2)
    assert_same(again, whole)
    assert len(states) > 30


class Steps(nn.Module):
    """Hides its gradient in the steps of a staircase."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model((100 * images).round() / 100)
        return logits


@pytest.mark.usefixtures("short")
def test_what_the_package_said_before_is_noted_once(
    curved: Build, many: Tensor, predict: Predict
) -> None:
    model = Steps(curved(10)).eval()
    labels = predict(model, many)
    whole = run("linf", model, many, labels, NO_CHECKPOINTS)
    assert "zero-gradients" in whole.notes
    assert whole.counts["zero-gradients"] > 0
    again, _ = killed("linf", model, many, labels, every=40)
    assert_same(again, whole)


class Counted(nn.Module):
    """Counts the images that it is given."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.seen = [0]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Counted":
        return self

    def forward(self, images: Tensor) -> Tensor:
        self.seen[0] += len(images)
        logits: Tensor = self.model(images)
        return logits


@pytest.mark.usefixtures("short")
def test_hardly_anything_is_computed_twice(curved: Build, many: Tensor, predict: Predict) -> None:
    model = Counted(curved(10)).eval()
    labels = predict(model, many)
    model.seen[0] = 0
    run("linf", model, many, labels, NO_CHECKPOINTS)
    whole = model.seen[0]
    model.seen[0] = 0
    _, states = killed("linf", model, many, labels, every=30)
    twice = (model.seen[0] - whole) / len(many) / len(states)
    assert twice < 8  # passes of a batch for each kill: what is checked of the model, and a step


def test_a_state_holds_one_run_s_gradients_and_no_more(
    curved: Build, images: Tensor, predict: Predict, without_square: None
) -> None:
    """With the package's own numbers of steps, and images that withstand everything."""
    model, calls, sizes = curved(3), list[int](), list[float]()

    class Measuring:
        def load(self) -> State | None:
            return None

        def save_if_due(self, state: Callable[[], State]) -> None:
            calls.append(1)
            if len(calls) % 33 == 0:
                sizes.append(sum(t.nbytes for t in state().fixed.values()) / images.nbytes)

    labels = predict(model, images)
    AutoAttack(eps=1e-6).resume(model, images, labels, Generator().manual_seed(4), Measuring())
    assert 60 < max(sizes) < 125  # times the images
    assert len(calls) > 400


def test_recalled_logits_have_the_gradient_that_they_had(curved: Build, images: Tensor) -> None:
    model, memory = curved(4), Killing(0)
    found = []
    for _ in range(2):
        journal = Journal(memory)
        recalled = RecalledModel(model, journal)
        x = images.clone().requires_grad_()
        with frozen(model):
            loss = recalled(x).logsumexp(1).sum()
        found.append((loss.detach(), *torch.autograd.grad(loss, x)))
        memory.found = journal.state()
        model = curved(3)  # it is not asked
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert found[0][1].abs().max() > 0
