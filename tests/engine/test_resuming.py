"""Stopped anywhere and gone on from disk, a training and an attack end in the same bits."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killed import Killed, Killing, resumed
from torch import Generator, Tensor, nn

from robench.attacks.pgd import PGD
from robench.catalog.catalog import Catalog
from robench.contracts import (
    NO_CHECKPOINTS,
    Attack,
    Attacked,
    Batch,
    Checkpoints,
    Objective,
    Run,
    Split,
    State,
    Target,
    TrainingSet,
)
from robench.engine.evaluate import Attempt, EvaluationError, evaluate
from robench.engine.pretrain import TrainingError, pretrain
from robench.engine.progress import silent
from robench.grid.recipe import Recipe
from robench.store import checkpoints as states
from robench.tensors.features import fingerprint
from robench.tensors.modes import preserved_random_state

RECIPE = Recipe(epochs=2, batch=8, lr=5e-3, warmup=1)


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "EVERY", 0.0)


@pytest.fixture
def make() -> Iterator[Callable[[str], Objective]]:
    def make(method: str) -> Objective:
        torch.manual_seed(0)
        return Catalog().build_objective(method, Catalog().build("encoders", "resnet8(width=4)"))

    with preserved_random_state():
        yield make


@pytest.fixture
def images() -> Tensor:
    seeded = Generator().manual_seed(1)
    return torch.randint(0, 256, (27, 3, 8, 8), generator=seeded).to(torch.uint8)


def train(
    objective: Objective, images: Tensor, recipe: Recipe, checkpoints: Checkpoints = NO_CHECKPOINTS
) -> list[float]:
    seeded, run = Generator().manual_seed(2), Run(silent, checkpoints)
    return pretrain(objective, TrainingSet(images), recipe, seeded, run, "pretraining toy")


@pytest.mark.parametrize(
    ("method", "optimizer", "precision"),
    [
        ("plain", "sgd", "fp32"),
        ("plain", "lars", "bf16"),
        ("plain", "adam", "bf16"),
        ("clae", "adam", "fp32"),
        ("rocl(steps=1, hidden=32)", "adam", "fp32"),
        ("rocl(steps=1, hidden=32)", "adam", "bf16"),
    ],
)
def test_a_training_killed_after_every_step_ends_in_the_same_bits(
    make: Callable[[str], Objective],
    images: Tensor,
    tmp_path: Path,
    method: str,
    optimizer: str,
    precision: str,
) -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, precision=precision)
    whole = make(method)
    losses = train(whole, images, recipe)

    def again(checkpoints: Checkpoints) -> tuple[Objective, list[float]]:
        objective = make(method)
        return objective, train(objective, images, recipe, checkpoints)

    (objective, again_losses), kills = resumed(tmp_path, again)
    assert kills == 2 * 3
    assert again_losses == losses
    assert fingerprint(objective) == fingerprint(whole)
    strides = {name: p.stride() for name, p in whole.named_parameters()}
    assert {name: p.stride() for name, p in objective.named_parameters()} == strides


def test_plain_sgd_without_momentum_has_nothing_to_keep(
    make: Callable[[str], Objective], images: Tensor, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(RECIPE, optimizer="sgd", momentum=0.0)
    whole, half = make("plain"), make("plain")
    train(whole, images, recipe)
    with pytest.raises(Killed):
        train(half, images, recipe, Killing(tmp_path, 2))
    resumed = make("plain")
    train(resumed, images, recipe, Killing(tmp_path, 0))
    assert fingerprint(resumed) == fingerprint(whole)


def test_no_state_that_training_cannot_continue_from_is_saved(
    make: Callable[[str], Objective], images: Tensor, tmp_path: Path
) -> None:
    objective = make("plain")
    steps, forward = [], objective.forward

    def failing(batch: Batch) -> Tensor:
        steps.append(1)
        return forward(batch) * (torch.nan if len(steps) == 5 else 1)

    objective.forward = failing  # type: ignore[method-assign]
    keeping = Killing(tmp_path, 0)
    with pytest.raises(TrainingError, match=r"the loss is nan in epoch 2, step 2 of 3; try"):
        train(objective, images, RECIPE, keeping)
    found = keeping.load()
    assert found is not None
    assert found.values["done"] == 4
    assert all(tensor.isfinite().all() for tensor in found.tensors.values())


# --- attacks


@dataclass(frozen=True)
class Noting(PGD):
    """PGD that notes the first batch and counts every image."""

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        made = super().__call__(target, images, labels, generator, run)
        first = generator.initial_seed() == 0
        return Attacked(made.images, ("first",) if first else ("later",), {"seen": len(images)})


def attacked(checkpoints: Checkpoints, batch: int = 5, attack: Attack | None = None) -> Attempt:
    with preserved_random_state():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    rng = np.random.default_rng(1)
    test = Split(rng.integers(0, 256, (23, 3, 8, 8), dtype=np.uint8), rng.integers(0, 5, 23))
    return evaluate(
        Target(model, 5),
        attack or Noting(steps=2, restarts=2),
        test,
        np.arange(2, 23),
        batch,
        lambda start: Generator().manual_seed(start),
        Run(silent, checkpoints),
        "noting",
    )


def assert_same(one: Attempt, other: Attempt) -> None:
    assert (one.notes, one.counts) == (other.notes, other.counts)
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("clean", "attacked")]
    pairs += zip(vars(one.outcome).values(), vars(other.outcome).values(), strict=True)
    for a, b in pairs:
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.mark.parametrize("batch", [1, 8, 100])
def test_an_attack_killed_after_every_batch_ends_in_the_same_bits(
    tmp_path: Path, batch: int
) -> None:
    whole = attacked(NO_CHECKPOINTS, batch)
    assert whole.counts["seen"] == 21
    again, kills = resumed(tmp_path, lambda checkpoints: attacked(checkpoints, batch))
    assert kills == -(-21 // batch)
    assert_same(again, whole)


class Patient(PGD):
    """PGD from a start of its own, one step at a time; it can continue from each."""

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        found = run.checkpoints.load()
        now, done = (images, 0) if found is None else (found.tensors["x"], found.values["done"])
        for step in range(done, self.steps):
            noise = torch.rand(now.shape, generator=Generator().manual_seed(step)) - 0.5
            now = (images + (now - images + noise / 100).clamp(-self.eps, self.eps)).clamp(0, 1)
            state = State({"x": now}, {"done": step + 1})
            run.checkpoints.save_if_due(lambda state=state: state)
        return Attacked(now, (), {"seen": len(images)})


@pytest.mark.parametrize("kills_every", [1, 2, 3, 4])
def test_an_attack_s_own_state_is_kept_with_that_of_the_batches_before(
    tmp_path: Path, kills_every: int
) -> None:
    patient = Patient(steps=3)
    again, kills = resumed(tmp_path, lambda saved: attacked(saved, 8, patient), kills_every)
    assert kills == 3 * (3 + 1) // kills_every
    assert_same(again, attacked(NO_CHECKPOINTS, 8, patient))


# --- memory


@dataclass(frozen=True)
class Hungry(Noting):
    """An attack that no machine has the memory for, on more than ``fits`` images at a time."""

    fits: int = 3

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        if len(images) > self.fits:
            torch.empty(2**50, dtype=torch.uint8)
        return super().__call__(target, images, labels, generator, run)


@pytest.mark.parametrize(("batch", "fits", "used"), [(8, 3, 2), (100, 5, 5), (6, 6, 6), (7, 1, 1)])
def test_a_batch_too_large_for_memory_is_halved(batch: int, fits: int, used: int) -> None:
    attempt = attacked(NO_CHECKPOINTS, batch, Hungry(steps=2, restarts=2, fits=fits))
    assert attempt.batch == used
    assert_same(attempt, attacked(NO_CHECKPOINTS, used))


def test_a_halved_batch_stays_halved_after_an_interruption(tmp_path: Path) -> None:
    hungry = Hungry(steps=2, restarts=2, fits=5)
    whole = attacked(NO_CHECKPOINTS, 8, hungry)
    for after in (1, 2):
        with pytest.raises(Killed):
            attacked(Killing(tmp_path, after), 8, hungry)
    again = attacked(Killing(tmp_path, 0), 8, Hungry(steps=2, restarts=2, fits=99))
    assert again.batch == 4
    assert_same(again, whole)


def test_memory_that_does_not_suffice_for_one_image_costs_the_cell() -> None:
    with pytest.raises(EvaluationError, match="out of memory while attacking a single image"):
        attacked(NO_CHECKPOINTS, 8, Hungry(fits=0))


def test_other_errors_are_no_lack_of_memory() -> None:
    class Broken(Noting):
        def __call__(self, *words: Any) -> Attacked:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        attacked(NO_CHECKPOINTS, 8, Broken())


def test_a_training_that_memory_does_not_suffice_for_says_what_to_try(
    make: Callable[[str], Objective], images: Tensor
) -> None:
    objective = make("plain")
    objective.forward = lambda batch: torch.empty(2**50)  # type: ignore[method-assign]
    message = "out of memory with a batch of 8, .*; try a smaller encoder, --precision"
    with pytest.raises(TrainingError, match=message):
        train(objective, images, RECIPE)
