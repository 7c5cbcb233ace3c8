"""SimCLR's loss and gradients, and its published numbers."""

import pytest
import transcription
from batches import batch_of
from torch import Generator

from robench.objectives.plain import Plain
from robench.tensors.learners import instance_views, rocl_views, simclr_views


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("base", ["simclr", "rocl", "clae", "plain", "uel"])
def test_loss_and_gradients(build, views, fixed, weights, agree, base, temperature):
    objective = fixed(build(Plain, temperature=temperature, base=base), views)
    oracle = weights(objective)
    loss = objective(batch_of(views[0], Generator()))
    expected = transcription.two_views(oracle, *views, base=base, temperature=temperature)
    agree(objective, loss, oracle, expected)


@pytest.mark.parametrize(
    ("base", "shapes", "views", "temperature"),
    [
        ("rocl", [(2048, 5), (128, 2048)], rocl_views(0.5, 0.08), 0.5),
        ("clae", [(5, 5), (64, 5)], simclr_views(1.0, 0.08), 0.5),
        ("plain", [(128, 5)], instance_views(0.4, 0.2), 0.1),
        ("uel", [(128, 5)], instance_views(0.4, 0.2), 0.1),
    ],
)
def test_the_authors_numbers_on_other_bases(build, base, shapes, views, temperature):
    objective = build(Plain, base=base)
    weights = [p for p in objective.projector.parameters() if p.dim() == 2]
    assert [tuple(one.shape) for one in weights] == shapes
    assert objective.augment == views
    assert objective.temperature == temperature


def test_with_no_output_there_is_no_projector(build, views, fixed):
    objective = fixed(build(Plain, base="uel", output=0), views)
    features = [objective.encoder(view) for view in views]
    assert not list(objective.projector.parameters())
    expected = transcription.batch_criterion(*features, temperature=0.1)
    assert objective(batch_of(views[0], Generator())).item() == pytest.approx(
        expected.item(), rel=1e-10
    )


def test_the_papers_numbers(build):
    objective = build(Plain)
    assert objective.temperature == 0.5
    assert [tuple(objective.projector[i].weight.shape) for i in (0, 2)] == [(5, 5), (128, 5)]
    assert objective.augment.jitter == (0.4, 0.4, 0.4, 0.1)
    assert objective.augment.crop_scale == (0.08, 1.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"temperature": 0}, "temperature=0 must be positive"),
        ({"base": "uel", "hidden": 64}, "hidden=64 must be 0"),
        ({"base": "moco"}, "base=moco is unknown; choose simclr, rocl, clae, plain"),
    ],
)
def test_values_out_of_range_are_refused(build, given, words):
    with pytest.raises(ValueError, match=words):
        build(Plain, **given)
