"""The loop that four probes train in: its batches, its learning rates, and its end."""

import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from batches import RUN
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from robench.contracts import ProbeError, Run
from robench.probes._descent import descend
from robench.probes._on_images import OnImages, crop_and_flip
from robench.probes.aff import AFF
from robench.probes.alf import ALF
from robench.probes.robust_linear import RobustLinear
from robench.probes.slf import SLF


def sgd(weights: Tensor, lr: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD([weights], lr, momentum=0.9, weight_decay=5e-4)


def slope(weights: Tensor) -> Callable[[Tensor], Tensor]:
    """A loss with gradient 1, whatever the rows."""
    return lambda rows: weights.sum()


def rates(probe: OnImages) -> list[float]:
    """The learning rate of each epoch, read from a weight that moves by just that."""
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    where = [0.0]
    descend(
        torch.optim.SGD([weight], probe.lr),
        slope(weight),
        3,
        3,
        probe.epochs,
        Generator(),
        RUN,
        "test",
        falls=probe.falls,
        after_epoch=lambda: where.append(weight.item()),
    )
    return [before - after for before, after in pairwise(where)]


@pytest.mark.parametrize(
    ("probe", "lr", "epochs", "milestones"),
    [
        (SLF(), 0.01, 25, (10, 20)),
        (ALF(), 0.01, 25, (10, 20)),
        (AFF(), 0.1, 25, (15, 20)),
        (AFF(epochs=100, decay="40,60"), 0.1, 100, (40, 60)),
        (RobustLinear(), 0.1, 150, (31, 51, 101)),
    ],
)
def test_each_probe_s_learning_rates_are_the_authors(
    probe: SLF | ALF | AFF | RobustLinear, lr: float, epochs: int, milestones: tuple[int, ...]
) -> None:
    expected = [lr * 0.1 ** sum(epoch >= fall for fall in milestones) for epoch in range(epochs)]
    assert rates(probe) == pytest.approx(expected)


def test_it_is_sgd_written_out() -> None:
    images = torch.arange(10 * 12).remainder(256).view(10, 12) / 255
    labels = torch.arange(10) % 3
    weight = torch.full((12, 3), 0.1, requires_grad=True)

    def loss(rows: Tensor) -> Tensor:
        return cross_entropy(images[rows] @ weight, labels[rows])

    dice, same = (Generator().manual_seed(3) for _ in range(2))
    descend(sgd(weight), loss, 10, 4, 2, dice, RUN, "test", falls=[1])
    ours = torch.full((12, 3), 0.1, requires_grad=True)
    velocity = torch.zeros_like(ours)
    for lr in (0.1, 0.01):
        order = torch.randperm(10, generator=same)
        for rows in (order[:4], order[4:8], order[8:]):
            value = cross_entropy(images[rows] @ ours, labels[rows])
            (gradient,) = torch.autograd.grad(value, ours)
            with torch.no_grad():
                velocity = 0.9 * velocity + gradient + 5e-4 * ours
                ours -= lr * velocity
    torch.testing.assert_close(weight, ours, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("smallest", "sizes"), [(1, [4, 4, 1]), (2, [4, 4])])
def test_a_rest_too_small_is_omitted(smallest: int, sizes: list[int]) -> None:
    seen: list[list[int]] = []
    weight = torch.zeros(1, requires_grad=True)

    def loss(rows: Tensor) -> Tensor:
        seen.append(rows.tolist())
        return weight.sum()

    dice = Generator().manual_seed(1)
    descend(sgd(weight), loss, 9, 4, 2, dice, RUN, "test", smallest=smallest)
    assert [len(rows) for rows in seen] == 2 * sizes
    assert len({row for rows in seen[: len(sizes)] for row in rows}) == sum(sizes)
    assert seen[: len(sizes)] != seen[len(sizes) :]  # shuffled anew


def test_progress_counts_batches() -> None:
    seen = []
    weight = torch.zeros(1, requires_grad=True)

    def counting(items: range, label: str) -> range:
        seen.append((len(items), label))
        return items

    descend(sgd(weight), slope(weight), 10, 4, 2, Generator(), Run(counting), "fit")
    assert seen == [(2 * 3, "fit")]


def test_a_loss_that_is_not_finite_ends_it() -> None:
    weight = torch.zeros(1, requires_grad=True)
    with pytest.raises(ProbeError, match=r"^AFF probe: the loss is nan in epoch 1; .* than 0\.1$"):
        descend(sgd(weight), lambda rows: weight.sum() / 0, 4, 4, 2, Generator(), RUN, "AFF probe")


def test_a_view_keeps_the_image_s_size_and_range() -> None:
    images = torch.rand(64, 3, 8, 8, generator=Generator().manual_seed(0))
    view = crop_and_flip(images, Generator().manual_seed(1))
    assert view.shape == images.shape
    assert view.min() == 0  # the border
    assert view.max() <= images.max()
    changed = (view != images).flatten(1).any(1)
    assert changed.float().mean() > 0.9


@pytest.mark.parametrize("decay", ["", "15", "15,20", "1,2,3"])
def test_falls_are_read_as_the_field_writes_them(decay: str) -> None:
    falls = SLF(decay=decay).falls
    np.testing.assert_array_equal(falls, [int(fall) for fall in decay.split(",") if fall])


@pytest.mark.parametrize("decay", ["15, 20", "20,15", "15,15", "0,5", "a", "15,", ",", "-5", "1.5"])
@pytest.mark.parametrize("kind", [SLF, ALF, AFF, RobustLinear])
def test_another_form_is_refused(kind: type[SLF], decay: str) -> None:
    with pytest.raises(ValueError, match=f"decay='{re.escape(decay)}' should be ascending epochs"):
        kind(decay=decay)


@pytest.mark.parametrize("kind", [SLF, ALF, AFF, RobustLinear])
@pytest.mark.parametrize(
    "wrong", [{"lr": 0.0}, {"epochs": 0}, {"batch": 0}, {"momentum": 1.0}, {"weight_decay": -1.0}]
)
def test_values_out_of_range_are_refused(kind: type[SLF], wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}={wrong[name]}"):
        kind(**wrong)
