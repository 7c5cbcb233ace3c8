"""An evaluation counts every image, trusts no attack, and leaves the model as it was."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from robench.attacks.clean import Clean
from robench.attacks.pgd import PGD
from robench.attacks.transfer import Transfer
from robench.contracts import NO_CHECKPOINTS, Attack, Attacked, Run, Split, Target
from robench.engine.evaluate import Attempt, EvaluationError, evaluate
from robench.engine.progress import silent
from robench.tensors.balls import Ball, Linf
from robench.tensors.modes import preserved_random_state

EPS = 8 / 255
SILENT = Run(silent, NO_CHECKPOINTS)


@dataclass(frozen=True)
class Planted(Attack):
    """Does to each image what it is told to."""

    change: Callable[[Tensor], Tensor]
    notes: tuple[str, ...] = ()

    @property
    def ball(self) -> Ball:
        return Linf(EPS)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        return Attacked(self.change(images), self.notes)


@pytest.fixture
def model() -> nn.Module:
    with preserved_random_state():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(4 * 36, 5),
        )


@pytest.fixture
def test() -> Split:
    rng = np.random.default_rng(1)
    images = rng.integers(30, 225, (23, 3, 8, 8), dtype=np.uint8)
    return Split(images, rng.integers(0, 5, 23))


def run(
    model: nn.Module, attack: Attack, test: Split, batch: int = 5, index: list[int] | None = None
) -> Attempt:
    rows = np.arange(len(test)) if index is None else np.array(index)

    def dice(start: int) -> Generator:
        return Generator().manual_seed(start)

    return evaluate(Target(model, 5), attack, test, rows, batch, dice, SILENT, "clean")


def predictions(model: nn.Module, images: Tensor) -> list[int]:
    training = model.training
    with torch.no_grad():
        found = model.eval()(images).argmax(1).tolist()
    model.train(training)
    return found


def pixels(test: Split) -> Tensor:
    return torch.tensor(test.images).float().div(255)


@pytest.mark.parametrize("batch", [1, 5, 23, 100])
def test_every_image_counts_whatever_the_batch(model: nn.Module, test: Split, batch: int) -> None:
    outcome = run(model, Clean(), test, batch).outcome
    assert outcome.index.tolist() == list(range(23))
    assert np.array_equal(outcome.label, test.labels)
    assert outcome.clean_prediction.tolist() == predictions(model, pixels(test))
    assert np.array_equal(outcome.prediction, outcome.clean_prediction)
    assert np.isnan(outcome.size).all()


def test_the_types_are_those_of_the_contract(model: nn.Module, test: Split) -> None:
    attempt = run(model, Clean(), test)
    outcome = attempt.outcome
    for values in (outcome.index, outcome.label, outcome.clean_prediction):
        assert values.dtype == np.int64
    assert outcome.prediction.dtype == np.int64
    for numbers in (outcome.size, outcome.clean_confidence, outcome.confidence):
        assert numbers.dtype == np.float32
    assert attempt.clean.dtype == attempt.attacked.dtype == np.float32


def test_the_index_chooses_the_images(model: nn.Module, test: Split) -> None:
    chosen = [20, 3, 7]
    outcome = run(model, Clean(), test, batch=2, index=chosen).outcome
    assert outcome.index.tolist() == chosen
    assert np.array_equal(outcome.label, test.labels[chosen])
    assert outcome.clean_prediction.tolist() == predictions(model, pixels(test)[chosen])


def test_sizes_and_predictions_are_of_the_images_returned(model: nn.Module, test: Split) -> None:
    attack = Planted(lambda images: images + EPS / 2)
    outcome = run(model, attack, test).outcome
    np.testing.assert_allclose(outcome.size, EPS / 2, rtol=1e-5)
    assert outcome.prediction.tolist() == predictions(model, pixels(test) + EPS / 2)
    assert outcome.clean_prediction.tolist() == predictions(model, pixels(test))


def test_clean_and_attacked_predictions_are_told_apart(model: nn.Module, test: Split) -> None:
    with torch.no_grad():
        model[5].weight *= 20
    attempt = run(model, PGD(eps=EPS), test)
    before, after = (torch.from_numpy(images) for images in (attempt.clean, attempt.attacked))
    outcome = attempt.outcome
    assert outcome.clean_prediction[:8].tolist() == predictions(model, before)
    assert outcome.prediction[:8].tolist() == predictions(model, after)
    assert (outcome.clean_prediction != outcome.prediction)[:8].any()


def test_confidences_are_of_the_predicted_classes(model: nn.Module, test: Split) -> None:
    attack = Planted(lambda images: images + EPS / 2)
    outcome = run(model, attack, test).outcome
    for images, found in (
        (pixels(test), outcome.clean_confidence),
        (pixels(test) + EPS / 2, outcome.confidence),
    ):
        with torch.no_grad():
            expected = model.eval()(images).softmax(1).amax(1)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)
    assert not np.array_equal(outcome.clean_confidence, outcome.confidence)


def test_an_attack_that_works_in_place_is_measured_all_the_same(
    model: nn.Module, test: Split
) -> None:
    calm = run(model, Planted(lambda images: images + EPS / 2), test)
    sly = run(model, Planted(lambda images: images.add_(EPS / 2)), test)
    np.testing.assert_array_equal(sly.outcome.size, calm.outcome.size)
    np.testing.assert_array_equal(sly.outcome.clean_prediction, calm.outcome.clean_prediction)
    np.testing.assert_array_equal(sly.clean, calm.clean)
    with pytest.raises(EvaluationError, match="left its ball"):
        run(model, Planted(lambda images: images.add_(2 * EPS)), test)


def test_an_attack_cannot_change_the_labels(model: nn.Module, test: Split) -> None:
    @dataclass(frozen=True)
    class Forger(Clean):
        def __call__(
            self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
        ) -> Attacked:
            labels.copy_(target.model(images).argmax(1))
            return Attacked(images)

    assert np.array_equal(run(model, Forger(), test).outcome.label, test.labels)


BROKEN = {
    "over the ball": (lambda x: x + 1.001 * EPS, r"Planted left its ball: size 0.0314\d+ > eps"),
    "one pixel of one image": (
        lambda x: x.index_put((torch.tensor(0),) * 4, x[0, 0, 0, 0] + 2 * EPS),
        "left its ball",
    ),
    "under black": (lambda x: x - 1, r"Planted left the pixel range \[0, 1\]: -0"),
    "over white": (lambda x: x + 1, r"pixel range \[0, 1\]: .* to 1\."),
    "not a number": (lambda x: x * torch.nan, "Planted returned pixels that are not finite"),
    "infinite": (lambda x: x + torch.inf, "not finite"),
    "an image lost": (lambda x: x[1:], r"given images \[5, 3, 8, 8\] and returned \[4, 3, 8, 8\]"),
    "one for all": (lambda x: x[:1], r"returned \[1, 3, 8, 8\]"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_attack_that_breaks_the_rules_gives_no_number(
    model: nn.Module, test: Split, fault: str
) -> None:
    change, message = BROKEN[fault]
    with pytest.raises(EvaluationError, match=message):
        run(model, Planted(change), test)


def test_rounding_is_no_offence(model: nn.Module, test: Split) -> None:
    outcome = run(model, Planted(lambda x: x + EPS * (1 + 1e-6)), test).outcome
    np.testing.assert_allclose(outcome.size, EPS, rtol=1e-4)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("attack", [Clean(), PGD()], ids=["clean", "pgd"])
def test_logits_that_are_not_finite_give_no_number(
    model: nn.Module, test: Split, attack: Attack, bad: float
) -> None:
    with torch.no_grad():
        model[5].bias[2] = bad
    with pytest.raises(EvaluationError, match="logits are not finite; its weights are damaged"):
        run(model, attack, test)


def test_modes_and_statistics_are_as_before(model: nn.Module, test: Split) -> None:
    model.train()
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run(model, PGD(steps=2), test)
    assert [part.training for part in model] == [True, False, True, True, True, True]
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_modes_are_as_before_after_trouble(model: nn.Module, test: Split) -> None:
    model.train()
    with pytest.raises(EvaluationError):
        run(model, Planted(lambda x: x + 1), test)
    assert all(part.training for part in model)


def test_the_attack_meets_a_model_in_eval_mode(model: nn.Module, test: Split) -> None:
    modes = set()

    @dataclass(frozen=True)
    class Looker(Clean):
        def __call__(
            self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
        ) -> Attacked:
            modes.update(part.training for part in target.model.modules())
            return Attacked(images)

    run(model.train(), Looker(), test)
    assert modes == {False}


def test_each_batch_has_dice_of_its_own(model: nn.Module, test: Split) -> None:
    seeds = []

    @dataclass(frozen=True)
    class Gambler(Clean):
        def __call__(
            self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
        ) -> Attacked:
            seeds.append(generator.initial_seed())
            return Attacked(images)

    run(model, Gambler(), test, batch=10)
    assert seeds == [0, 10, 20]


def test_notes_are_gathered_once(model: nn.Module, test: Split) -> None:
    attack = Planted(lambda images: images, notes=("b", "a"))
    assert run(model, attack, test).notes == ("a", "b")


@pytest.mark.parametrize("batch", [3, 8, 23])
def test_the_first_images_are_kept_to_look_at(model: nn.Module, test: Split, batch: int) -> None:
    attempt = run(model, Planted(lambda images: images + EPS / 2), test, batch)
    assert attempt.clean.shape == (8, 3, 8, 8)
    np.testing.assert_array_equal(attempt.clean, pixels(test)[:8].numpy())
    np.testing.assert_allclose(attempt.attacked - attempt.clean, EPS / 2, rtol=1e-4)


@dataclass(frozen=True)
class Still(Clean):
    """Changes nothing, and needs a gradient."""

    needs: ClassVar[frozenset[str]] = frozenset({"labels", "gradients"})

    @property
    def ball(self) -> Ball:  # type: ignore[override]
        return Linf(EPS)


def test_images_that_are_predicted_otherwise_the_second_time_are_counted(test: Split) -> None:
    """Of six images the first stays right, two turn wrong, one turns right, two stay wrong."""

    class Turning(nn.Module):
        """Knows each image by its first pixel."""

        first = torch.tensor([0, 1, 2, 0, 4, 4])
        second = torch.tensor([0, 4, 4, 3, 4, 0])
        recomputing = False

        def forward(self, images: Tensor) -> Tensor:
            predicted = self.second if self.recomputing else self.first
            number = (images[:, 0, 0, 0] * 255).round().long()
            return nn.functional.one_hot(predicted[number], 5).float()

    model = Turning()

    images = test.images[:6].copy()
    images[:, 0, 0, 0] = np.arange(6)
    six = Split(images, np.array([0, 1, 2, 3, 0, 1]))

    class Checkpointing:
        def load(self) -> None:
            return None

        def save_if_due(self, state: object) -> None:
            model.recomputing = True  # the only batch is done

    attempt = evaluate(
        Target(model, 5),
        Clean(),
        six,
        np.arange(6),
        6,
        lambda start: Generator().manual_seed(start),
        Run(silent, Checkpointing()),
        "",
    )
    assert attempt.counts["recomputed-otherwise"] == 3


def test_everything_is_computed_in_full_float32(model: nn.Module, test: Split) -> None:
    backends: Any = torch.backends
    seen = set()

    def precision() -> str:
        if hasattr(backends, "fp32_precision"):
            return str(backends.mkldnn.matmul.fp32_precision)
        return torch.get_float32_matmul_precision()

    model.register_forward_pre_hook(lambda *_: seen.add(precision()))
    before = precision()
    try:
        if hasattr(backends, "fp32_precision"):
            backends.mkldnn.matmul.fp32_precision = "bf16"
        else:
            torch.set_float32_matmul_precision("medium")
        low = precision()
        run(model, PGD(steps=1), test)
        assert precision() == low
    finally:
        if hasattr(backends, "fp32_precision"):
            backends.mkldnn.matmul.fp32_precision = before
        else:
            torch.set_float32_matmul_precision(before)
    assert low not in seen
    assert len(seen) == 1


def test_a_missing_surrogate_is_refused(model: nn.Module, test: Split) -> None:
    with pytest.raises(EvaluationError, match="Transfer needs a surrogate model"):
        run(model, Transfer(), test)


def test_only_attacks_that_need_gradients_pay_for_evidence(model: nn.Module, test: Split) -> None:
    @dataclass(frozen=True)
    class Blind(Still):
        needs: ClassVar[frozenset[str]] = frozenset({"labels"})

    assert "flat" in run(model, Still(), test).counts
    assert "flat" not in run(model, Blind(), test).counts
    assert "flat" not in run(model, Clean(), test).counts


def test_the_member_of_a_cascade_that_fooled_an_image_is_kept(
    model: nn.Module, test: Split
) -> None:
    @dataclass(frozen=True)
    class Cascade(Still):
        def __call__(
            self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
        ) -> Attacked:
            return Attacked(images, fooled_by=labels - 1)

    outcome = run(model, Cascade(), test).outcome
    assert outcome.fooled_by.tolist() == (test.labels - 1).tolist()
    assert (run(model, Clean(), test).outcome.fooled_by == -1).all()
