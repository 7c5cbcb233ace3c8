"""The loop that probes train in: its numbers, its batches, its learning rates, and its end."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from batches import RUN
from torch import Generator, Tensor, nn

from robench.contracts import Encoder, ProbeData, ProbeError, Run
from robench.probes._descent import Descending
from robench.probes.aff import AFF
from robench.probes.alf import ALF
from robench.probes.linear import Linear
from robench.probes.linear_adam import LinearAdam
from robench.probes.linear_sgd import LinearSGD
from robench.probes.robust_linear import RobustLinear
from robench.probes.slf import SLF

PGD = {"eps": 8 / 255, "step_size": 2 / 255, "steps": 10}
FINETUNING = {"momentum": 0.9, "weight_decay": 2e-4}
AUTHORS: dict[type[Descending], dict[str, Any]] = {
    LinearAdam: {"lr": 3e-4, "epochs": 1000, "batch": 256},  # SimCLR/eval_lr.py:14-16 and 205
    # README.md:33, total_process.sh:17
    LinearSGD: {"lr": 0.1, "epochs": 150, "batch": 1024, "momentum": 0.9, "weight_decay": 5e-4},
    SLF: {"lr": 0.01, "epochs": 25, "batch": 512, "decay": "10,20", **FINETUNING},
    ALF: {"lr": 0.01, "epochs": 25, "batch": 512, "decay": "10,20", **FINETUNING, **PGD},
    RobustLinear: {
        **{"lr": 0.1, "epochs": 150, "batch": 1024, "decay": "31,51,101"},
        **{"momentum": 0.9, "weight_decay": 5e-4},
        **{"eps": 0.0314, "step_size": 0.007, "steps": 10},
    },
    AFF: {
        **{"lr": 0.1, "epochs": 25, "batch": 128, "decay": "15,20", **FINETUNING, **PGD},
        "beta": 6.0,
    },
}


@pytest.mark.parametrize("kind", AUTHORS)
def test_the_defaults_are_the_authors(kind: type[Descending]) -> None:
    assert vars(kind()) == AUTHORS[kind]


@pytest.mark.parametrize(
    ("probe", "milestones"),
    [
        (SLF(), (10, 20)),
        (ALF(), (10, 20)),
        (AFF(), (15, 20)),
        (AFF(epochs=100, decay="40,60"), (40, 60)),
        (RobustLinear(), (31, 51, 101)),
        (LinearSGD(), (31, 51, 101)),
        (LinearAdam(), ()),
        (SLF(decay=""), ()),
    ],
)
def test_each_probe_s_learning_rates_are_the_authors(
    probe: Descending, milestones: tuple[int, ...]
) -> None:
    expected = [
        probe.lr * 0.1 ** sum(e >= fall for fall in milestones) for e in range(probe.epochs)
    ]
    assert [probe.rate(epoch) for epoch in range(probe.epochs)] == pytest.approx(expected)


@dataclass(frozen=True)
class Sloped(Descending):
    """SGD on one weight."""

    lr: float = 0.1
    epochs: int = 2
    batch: int = 4

    def optimizer(self, parameters: Iterable[Tensor]) -> torch.optim.SGD:
        return torch.optim.SGD(parameters, self.lr)

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        raise NotImplementedError


@pytest.mark.parametrize(("smallest", "sizes"), [(1, [4, 4, 1]), (2, [4, 4])])
def test_a_rest_too_small_is_omitted(smallest: int, sizes: list[int]) -> None:
    seen: list[list[int]] = []
    progress = []
    trained = nn.Linear(1, 1)

    def loss(rows: Tensor) -> Tensor:
        seen.append(rows.tolist())
        return trained.weight.sum()

    def counting(items: range, label: str) -> range:
        progress.append((len(items), label))
        return items

    dice = Generator().manual_seed(1)
    Sloped().descend(trained, loss, 9, dice, Run(counting), smallest)
    assert [len(rows) for rows in seen] == 2 * sizes
    assert len({row for rows in seen[: len(sizes)] for row in rows}) == sum(sizes)
    assert seen[: len(sizes)] != seen[len(sizes) :]  # shuffled anew
    assert progress == [(2 * len(sizes), "Sloped probe")]


def test_a_loss_that_is_not_finite_ends_it() -> None:
    trained = nn.Linear(1, 1)
    with pytest.raises(ProbeError, match=r"^Sloped probe: the loss is .* in epoch 1; .* 0\.1$"):
        Sloped().descend(trained, lambda rows: trained.weight.sum() / 0, 4, Generator(), RUN)


@pytest.mark.parametrize("decay", ["15, 20", "20,15", "15,15", "0,5", "a", "15,", ",", "-5", "1.5"])
def test_another_form_of_decay_is_refused(decay: str) -> None:
    with pytest.raises(ValueError, match=f"decay='{re.escape(decay)}' should be ascending epochs"):
        SLF(decay=decay)


ANY = [{"lr": 0.0}, {"epochs": 0}, {"batch": -1}]
SGD = [{"momentum": 1.0}, {"weight_decay": -1.0}]
ATTACK = [{"eps": 8.0}, {"eps": 0.0}, {"step_size": 0.0}, {"steps": 0}]
REFUSED = {
    Linear: [{"strength": 0.0}, {"strength": -1.0}],
    LinearAdam: ANY,
    SLF: [*ANY, *SGD],
    ALF: ATTACK,
    AFF: [*ANY, *ATTACK, {"beta": -1.0}, {"batch": 1}],
}


@pytest.mark.parametrize(("kind", "wrong"), [(k, w) for k, each in REFUSED.items() for w in each])
def test_values_out_of_range_are_refused(kind: type[SLF], wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}={wrong[name]}"):
        kind(**wrong)
