"""ACL and what is built on it, against transcriptions, and with their authors' numbers."""

from dataclasses import replace

import pytest
import torch
import transcribed
from batches import batch_of
from torch import Generator

from robench.grid.recipe import Recipe
from robench.objectives.acl import ACL
from robench.objectives.dynacl import DynACL
from robench.tensors.augment import Augment
from robench.tensors.batchnorm import ADVERSARIAL, branches, through_branch
from robench.tensors.learners import simclr_views

DEFAULTS = {"temperature": 0.5, "eps": 8 / 255, "step_size": 2 / 255, "steps": 5}
OTHERS = {"temperature": 0.2, "eps": 0.1, "step_size": 0.08, "steps": 2}


@pytest.mark.parametrize("setting", [DEFAULTS, OTHERS], ids=str)
def test_acl(build, views, fixed, weights, agree, setting):
    objective = fixed(build(ACL, **setting), views)
    oracle = weights(objective)
    loss = objective(batch_of(views[0], Generator().manual_seed(5)))
    clean, attacked, _ = transcribed.streams(oracle, *views, Generator().manual_seed(5), **setting)
    agree(objective, loss, oracle, (clean + attacked) / 2)
    assert attacked > clean + 1e-3


@pytest.mark.parametrize(
    ("variant", "epoch", "weight"),
    # train_DynACL.py:288 counts epochs from 1, pretraining.py:307 and 352 of AIR's code too.
    [
        *(("ema", 48, 0), ("ema", 49, 1 / 30), ("ema", 998, 19 / 30), ("ema", 999, 2 / 3)),
        *(("schedule", 49, 0), ("schedule", 50, 1 / 30), ("schedule", 999, 19 / 30)),
    ],
)
def test_dynacl(build, views, weights, agree, variant, epoch, weight):
    objective = build(DynACL, variant=variant, **DEFAULTS)
    objective.views = lambda batch: torch.cat(views)
    oracle, average = weights(objective), None
    if variant == "ema":
        names = {"encoder": "average.0.", "projector": "average.1."}
        average = {
            name.replace(place, own + "."): tensor
            for name, tensor in oracle.items()
            for own, place in names.items()
            if name.startswith(place)
        }
    batch = batch_of(views[0], Generator().manual_seed(5))
    loss = objective(replace(batch, epoch=epoch, epochs=1000))
    clean, attacked, _ = transcribed.streams(
        oracle, *views, Generator().manual_seed(5), **DEFAULTS, average=average
    )
    agree(objective, loss, oracle, ((1 - weight) * clean + (1 + weight) * attacked) / 2)


def test_the_average_follows_and_is_evaluated(build, views):
    objective = build(DynACL, momentum=0.9)
    assert objective.exported().encoder is objective.average[0]
    own, slow = objective.encoder.first.weight, objective.average[0].first.weight
    expected = 0.9 * slow.detach() + 0.1 * own.detach()
    objective.after_step(batch_of(views[0], Generator()))
    torch.testing.assert_close(slow.detach(), expected)
    alone = build(DynACL, variant="schedule")
    assert alone.exported().encoder is alone.encoder
    assert not any("average" in name for name in alone.state_dict())


@pytest.mark.parametrize(("epoch", "strength"), [(0, 1), (49, 1), (50, 0.95), (999, 0.05)])
def test_dynacl_s_views_grow_weak(build, epoch, strength):
    images = torch.rand(4, 3, 8, 8, dtype=torch.float64, generator=Generator().manual_seed(1))
    batch = replace(batch_of(images, Generator().manual_seed(2)), epoch=epoch, epochs=1000)
    augment = Augment(
        (1 - 0.9 * strength, 1.0),
        jitter=(0.4 * strength, 0.4 * strength, 0.4 * strength, 0.1 * strength),
        jitter_probability=0.8 * strength,
        grayscale=0.2 * strength,
    )
    dice = Generator().manual_seed(2)
    expected = torch.cat([augment(images, dice) for _ in range(2)])
    torch.testing.assert_close(build(DynACL).views(batch), expected)


def test_adversaries_move_their_own_statistics_alone(build, views, fixed):
    objective, twin = fixed(build(ACL), views), build(ACL)
    objective(batch_of(views[0], Generator().manual_seed(5)))
    network = twin.network()
    with through_branch(twin, ADVERSARIAL):
        network(twin.adversary(torch.cat(views), Generator().manual_seed(5)))
    network(torch.cat(views))
    expected = twin.state_dict()
    for name, tensor in objective.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-12)
    assert branches(objective) == ("clean", "adversarial")
    assert objective.exported().branch == "adversarial"


def test_acl_has_the_authors_numbers(build):
    objective = build(ACL)
    assert objective.temperature == 0.5
    assert vars(objective.climb) == {"eps": 8 / 255, "step_size": 2 / 255, "steps": 5}
    assert objective.augment == simclr_views(0.5, 0.1)
    assert objective.augment.jitter == (0.4, 0.4, 0.4, 0.1)
    assert ACL.recipe == Recipe(
        epochs=1000, batch=512, optimizer="lars", lr=5.0, weight_decay=1e-6, warmup=10
    )


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"eps": 0}, {"step_size": 0}, {"steps": 0}])
def test_values_out_of_range_are_refused(build, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        build(ACL, **wrong)


@pytest.mark.parametrize("wrong", [{"variant": "paper"}, {"swap": 2}, {"momentum": -1}])
def test_dynacl_s_values_out_of_range_are_refused(build, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        build(DynACL, **wrong)
