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
    ("simclr", {"temperature": 0.5, "eps": 0.015, "alpha": 1.0}),
    *((base, {"temperature": 0.1, "eps": 0.006027, "alpha": 1.0}) for base in ("plain", "uel")),
    *(
        (base, {"temperature": 0.3, "eps": 0.1, "alpha": 0.3})
        for base in ("simclr", "plain", "uel")
    ),
]


@pytest.mark.parametrize(("base", "setting"), SETTINGS, ids=str)
def test_loss_gradients_and_adversary(build, views, fixed, weights, agree, base, setting):
    objective = fixed(build(CLAE, **setting, base=base), views)
    oracle = weights(objective)
    with through_branch(objective.encoder, ADVERSARIAL):
        ours = objective.adversary(views[0])
    assert all(parameter.grad is None for parameter in objective.parameters())
    loss = objective(batch_of(views[0], Generator()))
    expected, adversary = transcription.clae(oracle, *views, base=base, **setting)
    agree(objective, loss, oracle, expected)
    torch.testing.assert_close(ours, adversary, rtol=0, atol=1e-12)
    assert (ours - views[0]).abs().max() == pytest.approx(setting["eps"])
    # The oracle's adversary must have left the pixel range for this to have shown anything.
    assert adversary.min() < 0
    assert adversary.max() > 1
    other = "uel" if base == "plain" else "plain"
    wrong, _ = transcription.clae(oracle, *views, base=other, **setting)
    assert abs(wrong - expected) > 1e-3


@pytest.mark.parametrize("base", ["plain", "uel"])
def test_the_authors_numbers_on_other_bases(build, base):
    objective = build(CLAE, base=base)
    assert (objective.temperature, objective.alpha) == (0.1, 1.0)
    # 0.03 over the mean of the channels' standard deviations (Plain/main.py:49 and 134).
    assert objective.ball.eps == pytest.approx(0.03 * (0.2023 + 0.1994 + 0.2010) / 3, rel=1e-12)
    assert objective.encoder.norm1.adversarial.momentum == 0.01
    assert tuple(objective.projector.weight.shape) == (128, 5)
    assert objective.augment == instance_views(0.4, 0.2)


def test_clamped_the_adversary_stays_an_image(build, views):
    adversary = build(CLAE, clamp=True, eps=0.1).adversary(views[0])
    assert adversary.min() == 0
    assert adversary.max() == 1


def test_adversaries_leave_the_clean_branch_alone_and_in_use(build, views, fixed):
    objective, twin = build(CLAE), build(CLAE)
    fixed(objective, views)(batch_of(views[0], Generator()))
    assert {objective.encoder.norm1.branch, objective.encoder.norm2.branch} == {"clean"}
    for view in views:
        twin.encoder(view)
    for name, tensor in objective.encoder.state_dict().items():
        if "clean.running" in name:
            assert torch.equal(tensor, twin.encoder.state_dict()[name]), name
        if "adversarial.running" in name:
            assert not torch.equal(tensor, twin.encoder.state_dict()[name]), name


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
