"""The adapter runs the official package in full, and leaves none of its traces."""

import logging
import subprocess
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pyautoattack
import pytest
import torch
from attacking import call
from pyautoattack import checks
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from robench.attacks._official import MEMBERS
from robench.attacks.autoattack import AutoAttack
from robench.contracts import Attacked

Build = Callable[[int], nn.Module]
Predict = Callable[[nn.Module, Tensor], Tensor]


def run(attack: AutoAttack, model: nn.Module, images: Tensor, labels: Tensor) -> Attacked:
    return call(attack, model, images, labels)


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
    flimsy: Build,
    images: Tensor,
    predict: Predict,
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
    notes = run(AutoAttack(norm=norm), model, images, predict(model, images)).notes
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


@pytest.mark.parametrize("classes", [2, 3, 4, 10, 100])
@pytest.mark.usefixtures("without_square")
def test_the_white_box_attacks_run_with_any_number_of_classes(
    flimsy: Build, images: Tensor, predict: Predict, classes: int
) -> None:
    model = flimsy(classes)
    images = images[:1]
    labels = predict(model, images)
    attacked, notes, *_ = run(AutoAttack(eps=1e-6), model, images, labels)
    assert torch.equal(predict(model, attacked), labels)
    assert notes == (("no-dlr",) if classes < 4 else ())


class Wrapped(nn.Module):
    """A model behind a defence."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


class Steps(Wrapped):
    """Hides its gradient in the steps of a staircase."""

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model((100 * images).round() / 100)
        return logits


class Noisy(Wrapped):
    """Answers differently each time."""

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits + 0.01 * torch.randn_like(logits)


class Dynamic(Wrapped):
    """Calls something named like a gradient."""

    def grad(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return self.grad(images)


class Probabilities(Wrapped):
    """Gives probabilities instead of logits."""

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits.softmax(1)


@pytest.mark.parametrize(
    ("defence", "notes"),
    [
        (Steps, ("zero-gradients", "square-beats-whitebox")),
        (Dynamic, ("dynamic",)),
        (Probabilities, ("probabilities",)),
    ],
)
def test_what_the_package_warns_of_is_noted_and_not_printed(
    flimsy: Build,
    images: Tensor,
    predict: Predict,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    defence: type[Wrapped],
    notes: tuple[str, ...],
) -> None:
    model = defence(flimsy(4)).eval()
    labels = predict(model.model, images)
    assert run(AutoAttack(), model, images, labels).notes == notes
    assert run(AutoAttack(), model.model, images, labels).notes == ()
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_it_counts_the_images_behind_a_warning(
    monkeypatch: pytest.MonkeyPatch, flimsy: Build, images: Tensor, predict: Predict
) -> None:
    model = Steps(flimsy(4)).eval()
    labels = predict(model, images)

    def standing(attacked: Attacked) -> int:
        return int((predict(model, attacked.images) == labels).sum())

    after = run(AutoAttack(), model, images, labels)
    with monkeypatch.context() as patch:
        patch.setattr(SquareAttack, "perturb", lambda self, x, y: x.clone())
        before = run(AutoAttack(), model, images, labels)
    assert before.counts["square"] == 0
    assert after.counts["square"] == standing(before) - standing(after) > 0
    # A random start may fool an image that the first run had counted.
    assert standing(before) <= after.counts["zero-gradients"] <= len(images)
    assert before.counts["zero-gradients"] == after.counts["zero-gradients"]


def test_a_model_with_gradients_counts_nothing(
    flimsy: Build, images: Tensor, predict: Predict
) -> None:
    model = flimsy(4)
    attacked = run(AutoAttack(), model, images, predict(model, images))
    assert attacked.counts == {"square": 0, "zero-gradients": 0}


def test_without_apgd_dlr_no_zero_gradients_are_counted(
    flimsy: Build, images: Tensor, predict: Predict
) -> None:
    model = Steps(flimsy(3)).eval()
    counts = run(AutoAttack(), model, images, predict(model, images)).counts
    assert set(counts) == {"square"}
    assert counts["square"] > 0


def test_a_random_model_is_noted(flimsy: Build, images: Tensor, predict: Predict) -> None:
    model = Noisy(flimsy(4)).eval()
    labels = predict(model.model, images)
    # Where the noise flips an image for Square alone, that is noted as well.
    assert "randomized" in run(AutoAttack(), model, images, labels).notes


def test_a_warning_of_another_kind_is_noted_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, flimsy: Build, images: Tensor, predict: Predict
) -> None:
    def warn(*_: object, logger: logging.Logger) -> None:
        logger.warning("something %s", "new")

    monkeypatch.setattr(checks, "check_range_output", warn)
    model = flimsy(10)
    attacked = run(AutoAttack(), model, images, predict(model, images))
    assert attacked.notes == ("something new",)


def test_warnings_are_heard_where_logging_was_switched_off(
    flimsy: Build, images: Tensor, predict: Predict
) -> None:
    logger = logging.getLogger("auto-attack")
    model = Dynamic(flimsy(10)).eval()
    level, disabled, filters = logger.level, logger.disabled, list(logger.filters)
    logger.setLevel(logging.CRITICAL)
    logger.disabled = True
    try:
        attacked = run(AutoAttack(), model, images, predict(model, images))
        assert (logger.level, logger.disabled) == (logging.CRITICAL, True)
        assert logger.filters == filters
    finally:
        logger.setLevel(level)
        logger.disabled = disabled
    assert attacked.notes == ("dynamic",)


def test_counters_start_afresh(flimsy: Build, images: Tensor, predict: Predict) -> None:
    model = flimsy(10)
    checks.funcs["grad"] = 3
    attacked = run(AutoAttack(), model, images, predict(model, images))
    assert attacked.notes == ()
    assert not any(checks.funcs.values())


def test_tracing_goes_on(flimsy: Build, images: Tensor, predict: Predict) -> None:
    def trace(frame: FrameType, event: str, argument: object) -> None:
        return None

    model = flimsy(10)
    labels = predict(model, images)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run(AutoAttack(), model, images, labels)
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is trace


def test_traces_are_restored_when_the_model_fails(flimsy: Build, images: Tensor) -> None:
    class Failing(Wrapped):
        def forward(self, images: Tensor) -> Tensor:
            if sys.gettrace() is checks.tracefunc:  # in check_dynamic
                raise RuntimeError("out of memory")
            logits: Tensor = self.model(images)
            return logits

    before = sys.gettrace()
    model = Failing(flimsy(10)).eval()
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="out of memory"):
        run(AutoAttack(), model, images, torch.zeros(len(images), dtype=torch.int64))
    assert sys.gettrace() is before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_images_that_are_misclassified_come_back_as_they_are(
    flimsy: Build, images: Tensor, predict: Predict
) -> None:
    model = flimsy(10)
    wrong = (predict(model, images) + 1) % 10
    assert torch.equal(run(AutoAttack(), model, images, wrong).images, images)


@pytest.mark.parametrize(
    ("eps", "norm", "words"),
    [
        (0.1, "Linf", "norm=Linf is unknown; choose linf, l2, l1"),
        (0.0, "l2", "eps=0.0 should be a positive number"),
        (1.5, "linf", "eps=1.5 is over 1"),
    ],
)
def test_senseless_arguments_are_refused(eps: float, norm: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AutoAttack(eps=eps, norm=norm)


def test_it_runs_without_torchattacks_and_robustbench() -> None:
    # Some seconds: a fresh interpreter has to import torch.
    script = """
import sys
import torch
from robench.attacks.autoattack import AutoAttack
from robench.contracts import NO_CHECKPOINTS, Run, Target
import robench.attacks.pgd
images = torch.full((1, 3, 8, 8), 0.5)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4)).eval()
label = model(images).argmax(1)
run = Run(lambda items, label: items, NO_CHECKPOINTS)
AutoAttack(eps=0.5)(Target(model, 4), images, label, torch.Generator(), run)
print(sorted({"torchattacks", "robustbench"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
