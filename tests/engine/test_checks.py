"""Planted faults show in what the evaluation notes and counts; an honest model shows none."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from faults import (
    Batchwise,
    Noisy,
    Quantised,
    Scaled,
    Stubborn,
    corners,
    honest,
    network,
    trained,
    with_norm,
)
from torch import Generator, Tensor, nn

from robench.attacks.apgd_ce import ApgdCe
from robench.attacks.autoattack import AutoAttack
from robench.attacks.clean import Clean
from robench.attacks.pgd import PGD
from robench.contracts import NO_CHECKPOINTS, Attack, Attacked, Run, Split, Target
from robench.engine import evidence
from robench.engine.evaluate import Attempt, EvaluationError, evaluate
from robench.engine.progress import silent
from robench.tensors.balls import L1, L2, Linf
from robench.tensors.modes import preserved_random_state
from robench.trust.review import flags_together

SMALL = PGD(eps=16 / 255)
SILENT = Run(silent, NO_CHECKPOINTS)


def attempt(
    model: nn.Module, attack: Attack = SMALL, test: Split | None = None, classes: int = 4
) -> Attempt:
    test = test or corners()
    rows, seeded = np.arange(len(test)), Generator().manual_seed
    with preserved_random_state():  # the random twin draws from there
        return evaluate(Target(model, classes), attack, test, rows, 50, seeded, SILENT, "")


def flags(model: nn.Module, attack: Attack = SMALL, test: Split | None = None) -> tuple[str, ...]:
    made = attempt(model, attack, test)
    return flags_together([attack], [made])[0]


def standing(model: nn.Module, attack: Attack = SMALL) -> float:
    outcome = attempt(model, attack).outcome
    return float((outcome.prediction == outcome.label).mean())


ATTACKS = {
    "clean": Clean(),
    "pgd": SMALL,
    "a huge radius": PGD(eps=0.5),
    "l2": PGD(eps=0.5, norm="l2"),
    "autoattack": AutoAttack(eps=0.3),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_honest_model_has_no_flag(attack: str) -> None:
    test = corners(16) if attack == "autoattack" else corners()
    made = attempt(honest(), ATTACKS[attack], test)
    assert (made.outcome.clean_prediction == made.outcome.label).mean() > 0.9
    assert flags_together([ATTACKS[attack]], [made]) == [()]
    expected = {"test-images": len(test), "recomputed-otherwise": 0}
    if attack != "clean":
        zero = ("flat", "still", "jagged", "unresolved", "missed-grey")
        expected |= dict.fromkeys(zero, 0)
    assert {name: made.counts[name] for name in expected} == expected


def test_logits_too_close_for_float32_are_masked() -> None:
    assert flags(Scaled(honest(), 1e-6)) == ("masked",)
    assert attempt(Scaled(honest(), 1e-6)).counts["unresolved"] == 120


SCALES = [10.0**power for power in range(-3, 4)]


TRAINED = ["honest", "trained 1", "trained 2"]
NETS = [*TRAINED, "untrained 0"]
SHARP = [PGD(eps=2 / 255), PGD(0.15, "l2"), PGD(0.75, "l2"), PGD(4.0, "l1")]


@pytest.mark.parametrize(
    ("net", "attack"),
    [
        *product(NETS, SHARP),
        ("trained 2", ApgdCe(eps=16 / 255)),
    ],
)
def test_the_scale_of_logits_changes_no_accuracy_without_a_flag(net: str, attack: Attack) -> None:
    model, test = (honest(), corners()) if net == "honest" else other(*net.split())
    made = [attempt(Scaled(model, scale), attack, test) for scale in SCALES]
    left = [int((one.outcome.prediction == one.outcome.label).sum()) for one in made]
    doubtful = ["masked" in own for one in made for own in flags_together([attack], [one])]
    sure = [many for many, doubt in zip(left, doubtful, strict=True) if not doubt]
    assert len(sure) >= 2
    # Of 120 images. An untrained network has close logits also when they are multiplied by 10.
    assert max(sure) - min(sure) <= (6 if net == "untrained 0" else 3)


@pytest.mark.parametrize(
    ("net", "n"),
    [("honest", 24), *(pytest.param(net, 60, marks=pytest.mark.slow) for net in TRAINED)],
)
@pytest.mark.parametrize("eps", [4.0, 8.0])
def test_in_l1_pgd_leaves_what_autoattack_leaves(net: str, n: int, eps: float) -> None:
    """To within 3 images: PGD climbs from one start, AutoAttack from many."""
    model = honest() if net == "honest" else other(*net.split())[0]
    pgd, whole = (
        attempt(model, attack, corners(n)).outcome.right.sum()
        for attack in (PGD(eps, "l1"), AutoAttack(eps, "l1"))
    )
    assert whole <= pgd <= whole + 3


def other(kind: str, seed: str) -> tuple[nn.Module, Split]:
    """A network of other weights, "trained" on `corners` or "untrained"."""
    if kind == "untrained":
        return untrained(int(seed))
    return trained(partial(spread_out, int(seed))), corners()


def spread_out(seed: int) -> nn.Module:
    """The network of `faults` with large weights of its own."""
    model = network()
    draws = Generator().manual_seed(seed)
    for weight in (w for w in model.parameters() if w.dim() > 1):
        nn.init.normal_(weight, std=0.3, generator=draws)
    return model


def untrained(seed: int) -> tuple[nn.Module, Split]:
    """A random network of its own opinion on each image."""
    with preserved_random_state():
        torch.manual_seed(seed)
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)
        model = nn.Sequential(*layers).eval()
    images = torch.tensor(corners().images) / 255
    with torch.no_grad():
        layers[-1].bias -= model(images).mean(0)  # so that every class has images
        labels = model(images).argmax(1)
    return model, Split(corners().images, labels.numpy())


def test_a_quantised_input_is_masked() -> None:
    made = attempt(Quantised(honest()))
    right = int((made.outcome.clean_prediction == made.outcome.label).sum())
    assert made.counts["flat"] == right > 100
    assert flags(Quantised(honest())) == ("masked",)


def test_a_gradient_cut_off_altogether_is_masked() -> None:
    class Cut(Quantised):
        def forward(self, images: Tensor) -> Tensor:
            with torch.no_grad():
                logits: Tensor = self.model(images)
            return logits + 0 * next(self.model.parameters()).sum()

    images, labels = torch.tensor(corners().images) / 255, torch.tensor(corners().labels)
    cut, right = evidence.slope(Cut(honest()), images, labels), honest()(images).argmax(1) == labels
    assert torch.equal(cut.lead > 0, right)
    assert not cut.gradient.any()


def test_flat_images_count_only_where_they_are_classified_correctly() -> None:
    labels = corners().labels.copy()
    labels[:30] = (labels[:30] + 1) % 4
    made = attempt(Quantised(honest()), SMALL, Split(corners().images, labels))
    right = int((made.outcome.clean_prediction == labels).sum())
    assert made.counts["flat"] == right <= 90


def test_random_outputs_and_batch_statistics_show() -> None:
    noisy = flags(Noisy(honest()), Clean())
    assert "random" in noisy
    assert "batch" not in noisy
    assert "recomputed" in flags(Noisy(honest(), 0.3), Clean())
    assert flags(with_norm(Batchwise), Clean()) == ("batch",)
    assert flags(with_norm(nn.BatchNorm2d), Clean()) == ()


def test_a_batchnorm_that_resists_eval_is_refused() -> None:
    with pytest.raises(EvaluationError, match="Stubborn '1' is in train mode while it should only"):
        attempt(with_norm(Stubborn))


@pytest.mark.parametrize("part", [lambda model: model, lambda model: model[1]])
def test_an_attack_that_switches_the_mode_is_refused(
    part: Callable[[nn.Module], nn.Module],
) -> None:
    class Switch(Clean):
        def __call__(
            self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
        ) -> Attacked:
            part(target.model).train()
            target.model(images)
            raise AssertionError("the call should have been refused")

    model = honest()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(EvaluationError, match="in train mode"):
        attempt(model, Switch())
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert not any(part.training for part in model.modules())
    assert not any(part._forward_pre_hooks for part in model.modules())


@pytest.mark.parametrize("classes", [3, 5])
def test_logits_of_other_classes_are_refused(classes: int) -> None:
    labels = np.minimum(corners().labels, 2)
    with pytest.raises(EvaluationError, match=rf"the model gives \[50, 4\].* \[50, {classes}\]"):
        attempt(honest(), Clean(), Split(corners().images, labels), classes)


# --- grey


@pytest.mark.parametrize(
    ("ball", "expected"),
    [(Linf(0.4), 2), (Linf(0.3), 0), (L2(5.6), 2), (L2(5.5), 0), (L1(77), 2), (L1(76), 0)],
)
def test_grey_counts_where_it_is_in_the_ball_and_fools(ball: Linf, expected: int) -> None:
    class Always(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([[0.0, 1.0]]).repeat(len(images), 1)

    images = torch.full((4, 3, 8, 8), 0.1)  # 0.4 in linf, 5.54 in l2 and 76.8 in l1 from grey
    images = torch.cat([images, torch.zeros(1, 3, 8, 8)])  # the last one is further from it
    labels, stands = torch.tensor([0, 0, 0, 1, 0]), torch.tensor([True, True, False, True, True])
    assert evidence.missed_grey(Always(), ball, images, labels, stands) == expected


def test_an_attack_that_misses_grey_is_masked() -> None:
    assert flags(honest(), dataclasses.replace(SMALL, eps=0.6)) == ()

    class Idle(PGD):
        def __call__(
            self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
        ) -> Attacked:
            return Attacked(images)

    assert flags(honest(), Idle(eps=0.6)) == ("masked",)


# --- smaller parts


def test_lines_are_where_they_were_drawn() -> None:
    """Each line from both sides, within a factor of two."""
    logits = torch.linspace(-1, 1, 5).repeat(20, 1)  # a spread of 2
    assert not evidence.differ(logits + 1e-3 * torch.eye(20, 5), logits)
    assert evidence.differ(logits + 4e-3 * torch.eye(20, 5), logits)
    assert evidence.differ(1e-6 * logits + 1e-7, 1e-6 * logits)
    line = 1000 * 2.0**-23 * math.log(5)  # a thousand float32 steps of the loss, log 5
    assert evidence.scale(logits * line / 2 * 1.5)["unresolved"] == 0
    assert evidence.scale(logits * line / 2 / 1.5)["unresolved"] == 20
    assert evidence.scale(logits / 1.5)["close"] == 0
    assert evidence.scale(logits / 2.5)["close"] == 20


class Dropping(nn.Module):
    """Omits a block in some calls, for all images of the call alike."""

    def __init__(self, chance: float, seed: int) -> None:
        super().__init__()
        self.model, self.chance = honest(), chance
        self.draws = Generator().manual_seed(seed)

    def forward(self, images: Tensor) -> Tensor:
        dropped = torch.rand((), generator=self.draws) < self.chance
        return self.model(images * 0 if dropped else images)


@pytest.mark.parametrize("seed", range(20))
def test_a_block_dropped_in_a_tenth_of_the_calls_is_found_by_every_run(seed: int) -> None:
    assert "random" in flags(Dropping(0.1, seed), Clean(), corners(8))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 50])
def test_any_number_of_images_can_be_regrouped(n: int) -> None:
    sizes: list[int] = []

    class Counting(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            sizes.append(len(images))
            return images.flatten(1)[:, :2]

    images = torch.rand(n, 3, 2, 2, generator=Generator().manual_seed(0))
    model = Counting()
    assert evidence.determinism(model, images, model(images)) == []
    again = sizes[3 + 64 :]  # after the caller's, both of all and those of two
    assert sum(again) == n
    assert again == [n] if n < 4 else max(again) < n and min(again) > 1
