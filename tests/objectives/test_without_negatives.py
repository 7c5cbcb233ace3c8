"""SimSiam, BYOL, Barlow Twins and VICReg: losses and gradients, published numbers, no collapse."""

import math

import pytest
import slow_losses as slow
import torch
from batches import batch_of
from torch import Generator

from robench.contracts import Batch
from robench.grid.recipe import Recipe
from robench.objectives.barlow import BarlowTwins
from robench.objectives.byol import BYOL
from robench.objectives.simsiam import SimSiam
from robench.objectives.vicreg import VICReg

SMALL = {"hidden": 6, "output": 4}
CASES = [
    (SimSiam, {"predictor": 3}, slow.simsiam, {}),
    (BYOL, {}, slow.byol, {}),
    (BarlowTwins, {}, slow.barlow, {"lamda": 0.0051, "scale": 0.1}),
    (BarlowTwins, {"lamda": 0.3, "scale": 1.0}, slow.barlow, {"lamda": 0.3, "scale": 1.0}),
    (VICReg, {}, slow.vicreg, {"invariance": 25.0, "variance": 25.0, "nu": 1.0}),
    (
        VICReg,
        {"invariance": 2.0, "variance": 3.0, "covariance": 5.0},
        slow.vicreg,
        {"invariance": 2.0, "variance": 3.0, "nu": 5.0},
    ),
]


@pytest.mark.parametrize(("method", "given", "oracle", "numbers"), CASES)
def test_loss_and_gradients(build, views, fixed, weights, agree, method, given, oracle, numbers):
    objective = fixed(build(method, **SMALL, **given), views)
    known = weights(objective)
    loss = objective(batch_of(views[0], Generator()))
    agree(objective, loss, known, oracle(known, *views, **numbers))


def test_byols_target_follows_every_weight_and_keeps_its_own_statistics(build, views, fixed):
    objective = fixed(build(BYOL, momentum=0.9, **SMALL), views)
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    batch = Batch(views[0], torch.arange(4), None, 0, 1, 0.25, Generator())
    objective.after_step(batch)
    # Section 3.2 of Grill et al., a quarter of the way.
    momentum = 1 - (1 - 0.9) * (math.cos(math.pi / 4) + 1) / 2
    after = objective.state_dict()
    for name in ("first.weight", "norm1.bias", "second.weight"):
        expected = (
            momentum * before[f"target.0.{name}"] + (1 - momentum) * before[f"encoder.{name}"]
        )
        torch.testing.assert_close(after[f"target.0.{name}"], expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(after["target.0.norm1.running_mean"], before["target.0.norm1.running_mean"])
    for name in ("encoder.first.weight", "projector.0.weight"):
        assert torch.equal(after[name], before[name])


def test_at_the_end_byols_target_stands_still(build, views):
    objective = build(BYOL, **SMALL)
    before = objective.target[0].first.weight.clone()
    objective.after_step(Batch(views[0], torch.arange(4), None, 0, 1, 1.0, Generator()))
    assert torch.equal(objective.target[0].first.weight, before)


LARS = {"optimizer": "lars", "warmup": 10, "epochs": 1000, "batch": 256}


def test_the_published_numbers(build):
    assert SimSiam.recipe == Recipe(
        epochs=800, batch=512, optimizer="sgd", lr=0.03 * 512 / 256, weight_decay=5e-4
    )
    for method, lr, decay in ((BYOL, 1.0, 1e-5), (BarlowTwins, 0.3, 1e-4), (VICReg, 0.3, 1e-4)):
        start = 3e-5 / lr
        assert method.recipe == Recipe(lr=lr, weight_decay=decay, warmup_start=start, **LARS)

    def widths(module: torch.nn.Module) -> list[tuple[int, ...]]:
        return [tuple(p.shape) for p in module.parameters() if p.dim() == 2]

    simsiam, byol = build(SimSiam), build(BYOL)
    assert widths(simsiam.projector) == [(2048, 5), (2048, 2048)]
    assert widths(simsiam.predictor) == [(512, 2048), (2048, 512)]
    assert widths(byol.projector) == [(4096, 5), (256, 4096)]
    assert widths(byol.predictor) == [(4096, 256), (256, 4096)]
    assert byol.momentum == 0.99
    assert [view.solarize for view in byol.augments] == [0.0, 0.2]
    assert byol.augments[0].jitter == (0.4, 0.4, 0.2, 0.1)
    for method in (BarlowTwins, VICReg):
        assert widths(build(method).projector) == [(2048, 5), (2048, 2048), (2048, 2048)]


def test_biases_and_norms_have_neither_decay_nor_adaptation(build):
    matrices, others = build(VICReg, **SMALL).parameter_groups()
    assert {w.dim() for w in matrices["params"]} == {2, 4}
    assert {w.dim() for w in others["params"]} == {1}
    assert (matrices["trust"], matrices["clipped"]) == (0.02, True)
    assert (others["trust"], others["weight_decay"]) == (None, 0.0)


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        (SimSiam, {"predictor": 0}),
        (SimSiam, {"crop": 0}),
        (BYOL, {"momentum": 1.1}),
        (BYOL, {"output": 0}),
        (BarlowTwins, {"scale": 0}),
        (VICReg, {"variance": -1}),
    ],
)
def test_values_out_of_range_are_refused(build, method, wrong):
    (name,) = wrong
    words = "must be positive" if name in ("predictor", "output") else name
    with pytest.raises(ValueError, match=words):
        build(method, **wrong)
