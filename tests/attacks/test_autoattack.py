"""The adapter runs the official package in full, and leaves none of its traces."""

import logging
import sys
from types import FrameType
from typing import Any

import pyautoattack
import pytest
import torch
from attacking import call, flimsy, grey_images, predict
from pyautoattack import checks
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from robench.attacks._official import MEMBERS, OfficialAttack
from robench.attacks.autoattack import AutoAttack
from robench.contracts import Attacked

IMAGES = grey_images()


def run(model: nn.Module, labels: Tensor | None = None) -> Attacked:
    """AutoAttack as by default, on all images, whose labels are those that the model predicts."""
    return call(AutoAttack(), model, IMAGES, predict(model, IMAGES) if labels is None else labels)


@pytest.mark.parametrize(
    ("classes", "norm", "apgd_targets", "fab_targets"),
    [
        (2, "linf", None, 1),
        (3, "linf", None, 2),
        (3, "l1", None, 2),
        (4, "linf", 3, 3),
        (4, "l1", 3, 3),
        (10, "linf", 9, 9),
        (10, "l2", 9, 9),
        (10, "l1", 5, 9),
        (100, "linf", 9, 9),
    ],
)
def test_the_budget_is_the_standard_one_as_far_as_the_classes_go(
    monkeypatch: pytest.MonkeyPatch,
    classes: int,
    norm: str,
    apgd_targets: int | None,
    fab_targets: int,
) -> None:
    seen: list[pyautoattack.AutoAttack] = []
    ran: list[str] = []
    begin = pyautoattack.AutoAttack.__init__

    def watch(self: pyautoattack.AutoAttack, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        seen.append(self)
        for name, attribute in MEMBERS.items():

            def perturb(x: Tensor, y: Tensor, name: str = name) -> Tensor:
                ran.append(name)
                return x

            getattr(self, attribute).perturb = perturb

    monkeypatch.setattr(pyautoattack.AutoAttack, "__init__", watch)
    model = flimsy(classes)
    notes = call(AutoAttack(norm=norm), model, IMAGES, predict(model, IMAGES)).notes
    (package,) = seen
    whitebox = ["apgd-ce", "fab-t"] if apgd_targets is None else ["apgd-ce", "apgd-t", "fab-t"]
    assert ran == [*whitebox, "square"]
    assert (package.apgd.loss, package.fab.targeted) == ("ce", True)
    assert notes == (("no-dlr",) if apgd_targets is None else ())
    if apgd_targets is not None:
        assert package.apgd_targeted.n_target_classes == apgd_targets
    assert package.fab.n_target_classes == fab_targets
    assert package.apgd.n_iter == package.apgd_targeted.n_iter == package.fab.n_iter == 100
    assert package.apgd.n_restarts == (5 if norm == "l1" else 1)
    assert package.fab.n_restarts == package.square.n_restarts == 1
    assert package.apgd.use_largereps is (norm == "l1")
    assert package.square.n_queries == 5000


class Wrapped(nn.Module):
    """A model behind a defence."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.model = flimsy(classes)
        self.eval()


class Steps(Wrapped):
    """Hides its gradient in the steps of a staircase."""

    def forward(self, images: Tensor) -> Tensor:
        return self.model((100 * images).round() / 100)


class Noisy(Wrapped):
    """Answers differently each time."""

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits + 0.01 * torch.randn_like(logits)


class Dynamic(Wrapped):
    """Calls something named like a gradient."""

    def grad(self, images: Tensor) -> Tensor:
        return self.model(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.grad(images)


class Probabilities(Wrapped):
    """Gives probabilities instead of logits."""

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).softmax(1)


@pytest.mark.parametrize(
    ("defence", "notes"),
    [
        (Steps, ("zero-gradients", "square-beats-whitebox")),
        (Dynamic, ("dynamic",)),
        (Probabilities, ("probabilities",)),
    ],
)
def test_what_the_package_warns_of_is_noted_and_not_printed(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    defence: type[Wrapped],
    notes: tuple[str, ...],
) -> None:
    model = defence()
    labels = predict(model.model, IMAGES)
    assert run(model, labels).notes == notes
    honest = run(model.model, labels)
    assert (honest.notes, honest.counts) == ((), {"square": 0, "zero-gradients": 0})
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_it_counts_the_images_behind_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Steps()
    labels = predict(model, IMAGES)

    def standing(attacked: Attacked) -> int:
        return int((predict(model, attacked.images) == labels).sum())

    after = run(model)
    with monkeypatch.context() as patch:
        patch.setattr(SquareAttack, "perturb", lambda self, x, y: x.clone())
        before = run(model)
    assert before.counts["square"] == 0
    assert after.counts["square"] == standing(before) - standing(after) > 0
    # A random start may fool an image that the first run had counted.
    assert standing(before) <= after.counts["zero-gradients"] <= len(IMAGES)
    assert before.counts["zero-gradients"] == after.counts["zero-gradients"]
    without_dlr = run(Steps(3)).counts
    assert set(without_dlr) == {"square"}
    assert without_dlr["square"] > 0


def test_a_random_model_is_noted() -> None:
    model = Noisy()
    # Where the noise flips an image for Square alone, that is noted as well.
    assert "randomized" in run(model, predict(model.model, IMAGES)).notes


@pytest.mark.parametrize("number", range(3, 8))
def test_each_of_the_package_s_five_answers_is_asked_for(number: int) -> None:
    """After two calls before the checks, another answer in any of their first five is noted."""

    class Once(Wrapped):
        calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            logits: Tensor = self.model(images)
            return logits.flip(1) if self.calls == number else logits

    model = Once()
    wrong = (predict(model.model, IMAGES) + 1) % 4
    assert "randomized" in call(AutoAttack(), model, IMAGES, wrong).notes
    assert model.calls == 2 + 5 + 3


def test_a_warning_of_another_kind_is_noted_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def warn(*_: object, logger: logging.Logger) -> None:
        logger.warning("something %s", "new")

    monkeypatch.setattr(checks, "check_range_output", warn)
    assert run(flimsy()).notes == ("something new",)


def test_counters_start_afresh() -> None:
    checks.funcs["grad"] = 3
    assert run(flimsy()).notes == ()


@pytest.mark.parametrize("fails", [False, True])
def test_tracing_goes_on_also_when_the_model_fails(fails: bool) -> None:
    def trace(frame: FrameType, event: str, argument: object) -> None:
        return None

    class Failing(Wrapped):
        def forward(self, images: Tensor) -> Tensor:
            if fails and sys.gettrace() is checks.tracefunc:  # in check_dynamic
                raise RuntimeError("out of memory")
            return self.model(images)

    model, before, state = Failing(), sys.gettrace(), torch.get_rng_state()
    failed = False
    sys.settrace(trace)
    try:
        run(model)
    except RuntimeError:
        failed = True
    finally:
        after = sys.gettrace()
        sys.settrace(before)
    assert failed == fails
    assert after is trace
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_images_that_are_misclassified_come_back_as_they_are() -> None:
    model = flimsy()
    assert torch.equal(run(model, (predict(model, IMAGES) + 1) % 10).images, IMAGES)


@pytest.mark.parametrize(("alone", "noted"), [(2, False), (3, True)])
def test_more_than_two_in_a_thousand_that_square_alone_fools_are_noted(
    alone: int, noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fooled_by = torch.where(torch.arange(1000) < alone, 3, -1)
    images, made = torch.zeros(1000, 1), Attacked(torch.zeros(1000, 1), fooled_by=fooled_by)
    monkeypatch.setattr(OfficialAttack, "__call__", lambda *_: made)
    found = AutoAttack()(None, images, fooled_by, None, None)  # type: ignore[arg-type]
    assert ("square-beats-whitebox" in found.notes) is noted
    assert found.counts["square"] == alone
