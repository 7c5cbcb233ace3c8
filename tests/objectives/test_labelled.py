"""The references with labels, against their transcriptions, and with their authors' numbers."""

import pytest
import torch
import transcribed
from batches import batch_of
from torch import Generator

from robench.objectives.at import AT
from robench.objectives.supervised import Supervised
from robench.objectives.trades import TRADES

LABELS = torch.tensor([0, 2, 1, 2])
PGD = {"eps": 8 / 255, "step_size": 2 / 255, "steps": 10}


def batch(images, seed=0):
    return batch_of(images, Generator().manual_seed(seed), LABELS)


def test_supervised(build, views, fixed, weights, agree):
    objective = fixed(build(Supervised, classes=3), views)
    oracle = weights(objective)
    expected = transcribed.cross_entropy(transcribed.logits(oracle, views[0]), LABELS) / 4
    agree(objective, objective(batch(views[0])), oracle, expected)


@pytest.mark.parametrize("setting", [PGD, {"eps": 0.1, "step_size": 0.07, "steps": 2}])
def test_at(build, views, fixed, weights, agree, setting):
    objective = fixed(build(AT, classes=3, **setting), views)
    oracle = weights(objective)
    loss = objective(batch(views[0], 5))
    expected = transcribed.at(oracle, views[0], LABELS, Generator().manual_seed(5), **setting)
    agree(objective, loss, oracle, expected)
    clean = transcribed.cross_entropy(transcribed.logits(oracle, views[0]), LABELS) / 4
    assert expected > clean + 0.01


@pytest.mark.parametrize(
    "setting",
    [
        {"beta": 6.0, "eps": 0.031, "step_size": 0.007, "steps": 10},
        {"beta": 0.5, "eps": 0.1, "step_size": 0.07, "steps": 2},
    ],
)
def test_trades(build, views, fixed, weights, agree, setting):
    objective = fixed(build(TRADES, classes=3, **setting), views)
    oracle = weights(objective)
    loss = objective(batch(views[0], 5))
    expected = transcribed.trades(oracle, views[0], LABELS, Generator().manual_seed(5), **setting)
    agree(objective, loss, oracle, expected)


def test_without_a_weight_on_the_adversary_trades_is_supervised(build, views, fixed):
    both = [build(method, classes=3) for method in (TRADES, Supervised)]
    both[0].beta = 0.0
    losses = [fixed(one, views)(batch(views[0])).item() for one in both]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_the_authors_numbers(build):
    madry, trades = build(AT, classes=3), build(TRADES, classes=3)
    assert vars(madry.climb) == PGD
    assert vars(trades.climb) == {"eps": 0.031, "step_size": 0.007, "steps": 10}
    assert trades.beta == 6.0
    # 80,000 steps of 128 of 50,000 images, the last batch of an epoch left out.
    epochs = [round(step / (50_000 // 128)) for step in (40_000, 60_000, 80_000)]
    assert [*(at for at, _ in AT.recipe.falls), AT.recipe.epochs] == epochs


def test_the_head_is_exported(build):
    for method in (Supervised, AT, TRADES):
        objective = build(method, classes=3)
        assert objective.exported().head is objective.head
        assert objective.head.out_features == 3


@pytest.mark.parametrize("wrong", [{"eps": 0}, {"eps": 2}, {"step_size": 0}, {"steps": 0}])
def test_values_out_of_range_are_refused(build, wrong):
    (name,) = wrong
    for method in (AT, TRADES):
        with pytest.raises(ValueError, match=name):
            build(method, classes=3, **wrong)
    with pytest.raises(ValueError, match="beta"):
        build(TRADES, classes=3, beta=-1)
