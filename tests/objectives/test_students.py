"""Students of a frozen teacher against transcriptions, and with their authors' numbers."""

import pytest
import torch
import transcribed
from batches import Tiny, batch_of
from torch import Generator

from robench.contracts import Teacher
from robench.objectives.deacl import DeACL
from robench.objectives.profeat import ProFeAT
from robench.tensors.learners import projector
from robench.tensors.modes import preserved_random_state

PGD = {"eps": 8 / 255, "step_size": 2 / 255, "steps": 5}
OTHERS = {"eps": 0.1, "step_size": 0.08, "steps": 2}


def teacher():
    with preserved_random_state():
        return Teacher(Tiny(), projector(5, 4, 3))


@pytest.mark.parametrize("setting", [{"beta": 2.0, **PGD}, {"beta": 0.3, **OTHERS}], ids=str)
def test_deacl(build, views, fixed, weights, agree, setting):
    objective = fixed(build(DeACL, teacher=teacher(), **setting), views)
    oracle = weights(objective)
    loss = objective(batch_of(views[0], Generator().manual_seed(5)))
    expected = transcribed.deacl(oracle, views[0], Generator().manual_seed(5), **setting)
    agree(objective, loss, oracle, expected)


@pytest.mark.parametrize(
    "setting",
    [{"beta": 8.0, "weight": 0.5, **PGD}, {"beta": 0.3, "weight": 0.2, **OTHERS}],
    ids=str,
)
def test_profeat(build, views, fixed, weights, agree, setting):
    objective = fixed(build(ProFeAT, teacher=teacher(), **setting), views)
    objective.strong = lambda images, generator: images
    twin = build(ProFeAT, teacher=teacher(), **setting)
    twin.encoder(views[1])
    oracle = weights(twin)
    loss = objective(batch_of(views[0], Generator().manual_seed(5)))
    expected = transcribed.profeat(oracle, *views, Generator().manual_seed(5), **setting)
    agree(objective, loss, oracle, expected)


@pytest.mark.parametrize("method", [DeACL, ProFeAT])
def test_the_student_starts_from_its_teacher_and_leaves_it_alone(method):
    frozen = teacher()
    for scratch in (False, True):
        with preserved_random_state():
            torch.manual_seed(9)
            objective = method(Tiny(), frozen, scratch=scratch)
        same = torch.equal(objective.encoder.first.weight, frozen.encoder.first.weight)
        assert same is not scratch
    objective.train()
    assert not any(part.training for part in frozen.modules())
    assert not any(weight.requires_grad for weight in frozen.parameters())
    with pytest.raises(ValueError, match="scratch=true"), preserved_random_state():
        method(Tiny(7), frozen)


def test_profeat_needs_a_projector():
    with pytest.raises(ValueError, match="projector"), preserved_random_state():
        ProFeAT(Tiny(), Teacher(Tiny()))


def test_the_authors_numbers(build):
    deacl, profeat = (build(method, teacher=teacher()) for method in (DeACL, ProFeAT))
    assert vars(deacl.climb) == vars(profeat.climb) == PGD
    assert (deacl.beta, profeat.beta, profeat.weight) == (2, 8, 0.5)
    assert DeACL.recipe.warmup_start * DeACL.recipe.lr == pytest.approx(0.003)
    assert ProFeAT.recipe.warmup_start * ProFeAT.recipe.lr == pytest.approx(0.01)


@pytest.mark.parametrize("wrong", [{"beta": -1}, {"eps": 0}, {"step_size": 0}, {"steps": 0}])
def test_values_out_of_range_are_refused(build, wrong):
    (name,) = wrong
    for method in (DeACL, ProFeAT):
        with pytest.raises(ValueError, match=name):
            build(method, teacher=teacher(), **wrong)
    with pytest.raises(ValueError, match="weight"):
        build(ProFeAT, teacher=teacher(), weight=2)
