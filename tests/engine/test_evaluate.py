"""An evaluation counts every image, trusts no attack, and leaves the model as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from robench.attacks.clean import Clean
from robench.attacks.pgd import PGD
from robench.attacks.transfer import Transfer
from robench.contracts import NO_CHECKPOINTS, Attack, Attacked, Checkpoints, Run, Split, Target
from robench.engine.evaluate import Attempt, EvaluationError, evaluate
from robench.engine.progress import silent
from robench.tensors.balls import Ball, Linf
from robench.tensors.modes import preserved_random_state

EPS = 8 / 255


@dataclass(frozen=True)
class Acting(Attack):
    """Does ``act(target, images, labels, generator)``, and returns the images or what it made."""

    act: Callable[[Target, Tensor, Tensor, Generator], Tensor | Attacked]

    @property
    def ball(self) -> Ball:
        return Linf(EPS)

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        made = self.act(target, images, labels, generator)
        return made if isinstance(made, Attacked) else Attacked(made)


@dataclass(frozen=True)
class Blind(Acting):
    """The same, without gradients."""

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})


def planted(change: Callable[[Tensor], Tensor]) -> Attack:
    """An attack that changes images so."""
    return Acting(lambda target, images, labels, generator: change(images))


STILL, HALF = planted(lambda images: images), planted(lambda images: images + EPS / 2)


@pytest.fixture
def model() -> nn.Sequential:
    with preserved_random_state():
        torch.manual_seed(0)
        norm, last = nn.BatchNorm2d(4), nn.Linear(4 * 36, 5)
        layers = (nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), last)
        return nn.Sequential(*layers)


@pytest.fixture
def test() -> Split:
    rng = np.random.default_rng(1)
    images = rng.integers(30, 225, (23, 3, 8, 8), dtype=np.uint8)
    return Split(images, rng.integers(0, 5, 23))


def run(
    model: nn.Module,
    attack: Attack,
    test: Split,
    batch: int = 5,
    index: list[int] | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Attempt:
    rows = np.arange(len(test)) if index is None else np.array(index)
    seeded = Generator().manual_seed
    work = Run(silent, checkpoints)
    return evaluate(Target(model, 5), attack, test, rows, batch, seeded, work, "clean")


def probabilities(model: nn.Module, images: Tensor) -> Tensor:
    training = model.training
    with torch.no_grad():
        found: Tensor = model.eval()(images).softmax(1)
    model.train(training)
    return found


def predictions(model: nn.Module, images: Tensor) -> list[int]:
    return probabilities(model, images).argmax(1).tolist()


def pixels(test: Split) -> Tensor:
    return torch.tensor(test.images).float().div(255)


@pytest.mark.parametrize("batch", [1, 5, 23, 100])
def test_every_image_counts_whatever_the_batch(model: nn.Module, test: Split, batch: int) -> None:
    attempt = run(model, Clean(), test, batch)
    outcome = attempt.outcome
    assert outcome.index.tolist() == list(range(23))
    assert np.array_equal(outcome.label, test.labels)
    assert outcome.clean_prediction.tolist() == predictions(model, pixels(test))
    assert np.array_equal(outcome.prediction, outcome.clean_prediction)
    assert np.isnan(outcome.size).all()
    assert (outcome.fooled_by == -1).all()
    kinds = {name: column.dtype for name, column in vars(outcome).items()}
    floats = {"size", "clean_confidence", "confidence"}
    assert kinds == {name: np.float32 if name in floats else np.int64 for name in kinds}
    assert attempt.clean.dtype == attempt.attacked.dtype == np.float32


def test_the_index_chooses_the_images(model: nn.Module, test: Split) -> None:
    chosen = [20, 3, 7]
    outcome = run(model, Clean(), test, batch=2, index=chosen).outcome
    assert outcome.index.tolist() == chosen
    assert np.array_equal(outcome.label, test.labels[chosen])
    assert outcome.clean_prediction.tolist() == predictions(model, pixels(test)[chosen])


def test_sizes_and_predictions_are_of_the_images_returned(model: nn.Module, test: Split) -> None:
    outcome = run(model, HALF, test).outcome
    np.testing.assert_allclose(outcome.size, EPS / 2, rtol=1e-5)
    before, after = pixels(test), pixels(test) + EPS / 2
    assert outcome.clean_prediction.tolist() == predictions(model, before)
    assert outcome.prediction.tolist() == predictions(model, after)
    for images, found in ((before, outcome.clean_confidence), (after, outcome.confidence)):
        expected = probabilities(model, images).amax(1)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)
    assert not np.array_equal(outcome.clean_confidence, outcome.confidence)


def test_clean_and_attacked_predictions_are_told_apart(model: nn.Sequential, test: Split) -> None:
    with torch.no_grad():
        model[5].weight *= 20
    attempt = run(model, PGD(eps=EPS), test)
    before, after = (torch.from_numpy(images) for images in (attempt.clean, attempt.attacked))
    outcome = attempt.outcome
    assert outcome.clean_prediction[:8].tolist() == predictions(model, before)
    assert outcome.prediction[:8].tolist() == predictions(model, after)
    assert (outcome.clean_prediction != outcome.prediction)[:8].any()


def test_an_attack_that_works_in_place_is_measured_all_the_same(
    model: nn.Module, test: Split
) -> None:
    calm, sly = run(model, HALF, test), run(model, planted(lambda x: x.add_(EPS / 2)), test)
    np.testing.assert_array_equal(sly.outcome.size, calm.outcome.size)
    np.testing.assert_array_equal(sly.outcome.clean_prediction, calm.outcome.clean_prediction)
    np.testing.assert_array_equal(sly.clean, calm.clean)
    with pytest.raises(EvaluationError, match="left its ball"):
        run(model, planted(lambda images: images.add_(2 * EPS)), test)


def test_rounding_of_many_pixels_does_not_leave_a_ball_in_l1() -> None:
    @dataclass(frozen=True)
    class Far(PGD):
        """Noise over the whole image, projected: 3,072 pixels are rounded in it."""

        def __call__(
            self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
        ) -> Attacked:
            noise = torch.empty_like(images).normal_(std=0.01, generator=generator)
            return Attacked(self.ball.project(images + noise, images))

    white = np.full((20, 32, 32, 3), 240, dtype=np.uint8).transpose(0, 3, 1, 2)
    test = Split(np.ascontiguousarray(white), np.zeros(20, dtype=np.int64))
    model = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5)).eval()
    size = run(model, Far(eps=7.84, norm="l1"), test).outcome.size
    assert size.max() > 7.84 + 1e-5
    assert size.max() < 7.84 + 2e-4


BROKEN = {
    "over the ball": (lambda x: x + 1.001 * EPS, r"Acting left its ball: size 0.0314\d+ > eps"),
    "one pixel of one image": (
        lambda x: x.index_put((torch.tensor(0),) * 4, x[0, 0, 0, 0] + 2 * EPS),
        "left its ball",
    ),
    "under black": (lambda x: x - 1, r"Acting left the pixel range \[0, 1\]: -0"),
    "over white": (lambda x: x + 1, r"pixel range \[0, 1\]: .* to 1\."),
    "not a number": (lambda x: x * torch.nan, "Acting returned pixels that are not finite"),
    "infinite": (lambda x: x + torch.inf, "not finite"),
    "an image lost": (
        lambda x: x[1:],
        r"given images float32 \[5, 3, 8, 8\] and returned float32 \[4, ",
    ),
    "one for all": (lambda x: x[:1], r"returned float32 \[1, 3, 8, 8\]"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_attack_that_breaks_the_rules_gives_no_number(
    model: nn.Module, test: Split, fault: str
) -> None:
    change, message = BROKEN[fault]
    with pytest.raises(EvaluationError, match=message):
        run(model.train(), planted(change), test)
    assert all(part.training for part in model.modules())


def test_rounding_is_no_offence(model: nn.Module, test: Split) -> None:
    outcome = run(model, planted(lambda x: x + EPS * (1 + 1e-6)), test).outcome
    np.testing.assert_allclose(outcome.size, EPS, rtol=1e-4)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("attack", [Clean(), PGD()], ids=["clean", "pgd"])
def test_logits_that_are_not_finite_give_no_number(
    model: nn.Sequential, test: Split, attack: Attack, bad: float
) -> None:
    with torch.no_grad():
        model[5].bias[2] = bad
    with pytest.raises(EvaluationError, match="logits are not finite; its weights are damaged"):
        run(model, attack, test)


def test_modes_and_statistics_are_as_before(model: nn.Sequential, test: Split) -> None:
    model.train()
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run(model, PGD(steps=2), test)
    assert [part.training for part in model] == [True, False, True, True, True, True]
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_the_attack_meets_a_model_in_eval_mode_and_a_generator_for_each_batch(
    model: nn.Module, test: Split
) -> None:
    modes, seeds = set(), []

    def look(target: Target, images: Tensor, labels: Tensor, generator: Generator) -> Attacked:
        modes.update(part.training for part in target.model.modules())
        seeds.append(generator.initial_seed())
        labels += 1  # it cannot change those that it is judged by
        return Attacked(images, ("b", "a"), {"seen": len(images)}, labels - 2)

    attempt = run(model.train(), Acting(look), test, batch=10)
    assert modes == {False}
    assert seeds == [0, 10, 20]
    assert np.array_equal(attempt.outcome.label, test.labels)
    assert attempt.notes == ("a", "b")
    assert attempt.counts["seen"] == 23
    assert attempt.outcome.fooled_by.tolist() == (test.labels - 1).tolist()


@pytest.mark.parametrize("batch", [3, 8, 23])
def test_the_first_images_are_kept_to_look_at(model: nn.Module, test: Split, batch: int) -> None:
    attempt = run(model, HALF, test, batch)
    assert attempt.clean.shape == (8, 3, 8, 8)
    np.testing.assert_array_equal(attempt.clean, pixels(test)[:8].numpy())
    np.testing.assert_allclose(attempt.attacked - attempt.clean, EPS / 2, rtol=1e-4)


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

    class Turned:
        def load(self, accept: object) -> None:
            return None

        def save_if_due(self, state: object) -> None:
            model.recomputing = True  # the only batch is done

    model, images = Turning(), test.images[:6].copy()
    images[:, 0, 0, 0] = np.arange(6)
    six = Split(images, np.array([0, 1, 2, 3, 0, 1]))
    assert run(model, Clean(), six, 6, None, Turned()).counts["recomputed-otherwise"] == 3


def test_everything_is_computed_in_full_float32(
    model: nn.Module, test: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, seen = [], []

    @contextmanager
    def full_precision() -> Iterator[None]:
        inside.append(True)
        yield
        inside.pop()

    monkeypatch.setattr("robench.engine.evaluate.full_precision", full_precision)
    model.register_forward_pre_hook(lambda *_: seen.append(bool(inside)))
    run(model, PGD(steps=1), test)
    assert seen
    assert all(seen)


@contextmanager
def float64_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference mode": torch.inference_mode,
    "float64": float64_by_default,
}


@pytest.mark.parametrize("mode", MODES)
def test_the_caller_s_modes_change_nothing(model: nn.Module, test: Split, mode: str) -> None:
    calm = run(model, PGD(steps=2), test)
    with MODES[mode]():
        other = run(model, PGD(steps=2), test)
    for one, same in zip(vars(calm.outcome).values(), vars(other.outcome).values(), strict=True):
        np.testing.assert_array_equal(one, same)
    assert (other.notes, other.counts) == (calm.notes, calm.counts)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_logits_that_are_not_float32_are_refused(
    model: nn.Module, test: Split, dtype: torch.dtype
) -> None:
    class Cast(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).to(dtype)

    with pytest.raises(
        EvaluationError, match=rf"gives {dtype} \[5, 5\] .* expected float32 \[5, 5"
    ):
        run(Cast(model), Clean(), test)


def test_a_model_that_writes_into_its_images_is_refused(model: nn.Module, test: Split) -> None:
    model.register_forward_pre_hook(lambda _, given: given[0].mul_(0.9))
    with pytest.raises(EvaluationError, match="the model writes into its images; it should leave"):
        run(model, Clean(), test)


def test_a_missing_surrogate_is_refused(model: nn.Module, test: Split) -> None:
    with pytest.raises(EvaluationError, match="Transfer needs a surrogate model"):
        run(model, Transfer(), test)


def test_only_attacks_that_need_gradients_pay_for_evidence(model: nn.Module, test: Split) -> None:
    assert "flat" in run(model, STILL, test).counts
    for attack in (Blind(lambda target, images, *_: images), Clean()):
        assert "flat" not in run(model, attack, test).counts


def test_an_attack_sees_the_counts_of_the_images_before(model: nn.Module, test: Split) -> None:
    seen = []

    @dataclass(frozen=True)
    class Counting(Acting):
        def __call__(
            self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
        ) -> Attacked:
            seen.append(run.counts.get("sampled", 0))
            return Attacked(images, counts={"sampled": len(images)})

    attack = Counting(lambda *_: None)
    work = Run(silent, counts={"sampled": 7})
    rows, seeded = np.arange(len(test)), Generator().manual_seed
    made = evaluate(Target(model, 5), attack, test, rows, 10, seeded, work, "")
    assert seen == [7, 17, 27]
    assert made.counts["sampled"] == 23
