"""CLAE against its transcription, and against the numbers of the authors' code."""

import pytest
import torch
import transcription
from batches import batch_of
from torch import Generator

from robench.grid.recipe import Recipe
from robench.objectives.clae import CLAE
from robench.tensors.batchnorm import ADVERSARIAL, through_branch
from robench.tensors.learners import instance_views

SETTINGS = [
    {"temperature": 0.5, "eps": 0.015, "alpha": 1.0},
    {"temperature": 0.1, "eps": 0.1, "alpha": 0.3},
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_loss_and_gradients(build, views, fixed, weights, agree, setting):
    objective = fixed(build(CLAE, **setting), views)
    oracle = weights(objective)
    loss = objective(batch_of(views[0], Generator()))
    expected, adversary = transcription.clae(oracle, *views, **setting)
    agree(objective, loss, oracle, expected)
    # The oracle's adversary must have left the pixel range for this to have shown anything.
    assert adversary.min() < 0
    assert adversary.max() > 1


@pytest.mark.parametrize("base", ["plain", "uel"])
@pytest.mark.parametrize(
    "setting",
    [
        {"temperature": 0.1, "eps": 0.006027, "alpha": 1.0},
        {"temperature": 0.3, "eps": 0.1, "alpha": 0.3},
    ],
    ids=str,
)
def test_loss_and_gradients_on_other_bases(build, views, fixed, weights, agree, base, setting):
    objective = fixed(build(CLAE, **setting, base=base), views)
    oracle = weights(objective)
    loss = objective(batch_of(views[0], Generator()))
    expected, adversary = transcription.clae_on(oracle, *views, base=base, **setting)
    agree(objective, loss, oracle, expected)
    assert adversary.min() < 0
    assert adversary.max() > 1
    other = {"plain": "uel", "uel": "plain"}[base]
    wrong, _ = transcription.clae_on(oracle, *views, base=other, **setting)
    assert abs(wrong - expected) > 1e-3


@pytest.mark.parametrize("base", ["plain", "uel"])
def test_the_step_of_other_bases_is_the_transcription_s(build, views, weights, base):
    objective = build(CLAE, eps=0.05, base=base)
    oracle = weights(objective)
    with through_branch(objective.encoder, ADVERSARIAL):
        ours = objective.adversary(views[0])
    _, expected = transcription.clae_on(
        oracle, *views, base=base, temperature=0.1, eps=0.05, alpha=1.0
    )
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    assert (ours - views[0]).abs().max() == pytest.approx(0.05)


@pytest.mark.parametrize("base", ["plain", "uel"])
def test_the_authors_numbers_on_other_bases(build, base):
    objective = build(CLAE, base=base)
    assert (objective.temperature, objective.alpha) == (0.1, 1.0)
    # 0.03 over the mean of the channels' standard deviations (Plain/main.py:49 and 134).
    assert objective.ball.eps == pytest.approx(0.03 * (0.2023 + 0.1994 + 0.2010) / 3, rel=1e-12)
    assert objective.encoder.norm1.adversarial.momentum == 0.01
    assert tuple(objective.projector.weight.shape) == (128, 5)
    assert objective.augment == instance_views(0.4, 0.2)


def test_the_adversary_moves_every_pixel_by_eps(build, views):
    objective = build(CLAE)
    adversary = objective.adversary(views[0])
    torch.testing.assert_close(
        (adversary - views[0]).abs(), torch.full_like(views[0], 0.015), rtol=0, atol=1e-12
    )


def test_clamped_the_adversary_stays_an_image(build, views):
    adversary = build(CLAE, clamp=True, eps=0.1).adversary(views[0])
    assert adversary.min() == 0
    assert adversary.max() == 1


def test_adversaries_leave_the_clean_statistics_alone(build, views, fixed):
    objective, twin = build(CLAE), build(CLAE)
    fixed(objective, views)(batch_of(views[0], Generator()))
    for view in views:
        twin.encoder(view)
    for name, tensor in objective.encoder.state_dict().items():
        if "clean.running" in name:
            assert torch.equal(tensor, twin.encoder.state_dict()[name]), name
        if "adversarial.running" in name:
            assert not torch.equal(tensor, twin.encoder.state_dict()[name]), name


def test_features_come_from_the_clean_branch_afterwards(build, views, fixed):
    objective = fixed(build(CLAE), views)
    objective(batch_of(views[0], Generator()))
    assert {objective.encoder.norm1.branch, objective.encoder.norm2.branch} == {"clean"}


def test_the_step_leaves_no_gradient(build, views):
    objective = build(CLAE)
    objective.adversary(views[0])
    assert all(parameter.grad is None for parameter in objective.parameters())


def test_the_authors_numbers(build):
    objective = build(CLAE)
    assert (objective.temperature, objective.alpha) == (0.5, 1.0)
    # 0.03 on images normalised with a standard deviation of 0.5 (SimCLR/main.py:38, run_*.sh).
    assert objective.ball.eps == 0.03 * 0.5
    assert objective.encoder.norm1.adversarial.momentum == 0.01
    assert [tuple(objective.projector[i].weight.shape) for i in (0, 2)] == [(5, 5), (64, 5)]
    assert objective.augment.jitter == (0.8, 0.8, 0.8, 0.2)
    assert objective.augment.crop_scale == (0.08, 1.0)
    assert CLAE.recipe == Recipe(epochs=100, batch=256, lr=3e-4, schedule="constant")
    assert (CLAE.recipe.optimizer, CLAE.recipe.weight_decay, CLAE.recipe.warmup) == ("adam", 0, 0)


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0}, {"eps": 0}, {"eps": 2}, {"momentum": 0}, {"base": "rocl"}]
)
def test_values_out_of_range_are_refused(build, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        build(CLAE, **wrong)
