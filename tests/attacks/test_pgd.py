"""PGD takes the steps of torchattacks and of the shared ascent; arguments mean what they say."""

from typing import Any

import pytest
import torch
import torchattacks
from attacking import call, curved, grey_images, predict
from torch import Generator, Tensor
from torch.nn import functional as F

from robench.attacks.pgd import PGD, odds
from robench.contracts import NO_CHECKPOINTS, Run, Target
from robench.engine.progress import silent
from robench.tensors.ascend import ascend
from robench.tensors.balls import L1, L2, Ball, Linf
from robench.tensors.modes import draw_seed, preserved_random_state

MODEL, IMAGES = curved(), grey_images()
LABELS = predict(MODEL, IMAGES)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 8 / 255), ("l2", 0.5)])
def test_it_equals_torchattacks_from_a_random_start(norm: str, eps: float) -> None:
    ours = call(PGD(eps, norm), MODEL, IMAGES, LABELS, 5).images
    kind = torchattacks.PGD if norm == "linf" else torchattacks.PGDL2
    with preserved_random_state():
        torch.manual_seed(draw_seed(Generator().manual_seed(5)))
        theirs = kind(MODEL, eps=eps, alpha=eps / 10, steps=20, random_start=True)(IMAGES, LABELS)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("within", [Linf(8 / 255), L2(2.0), L1(4.0)], ids=["linf", "l2", "l1"])
def test_it_is_the_shared_ascent_in_steps_of_a_tenth(within: Ball) -> None:
    def loss(images: Tensor) -> Tensor:
        return F.cross_entropy(MODEL(images), LABELS)

    attack = PGD(within.eps, type(within).__name__.lower(), steps=10)
    assert attack.ball == within
    attacked = call(attack, MODEL, IMAGES, LABELS, 5).images
    generator = Generator().manual_seed(draw_seed(Generator().manual_seed(5)))
    size = within.eps / 10
    ours = ascend(loss, IMAGES, within, steps=10, step_size=size, generator=generator)
    torch.testing.assert_close(attacked, ours, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.03), ("l2", 0.2), ("l1", 0.8)])
def test_each_image_keeps_the_first_restart_that_fools_it(norm: str, eps: float) -> None:
    def attacked(restarts: int, seed: int) -> Tensor:
        attack = PGD(eps=eps, norm=norm, steps=1, step_size=eps / 4, restarts=restarts)
        return call(attack, MODEL, IMAGES, LABELS, seed).images

    more = 0
    for seed in range(5):  # of which some leave room for a restart, whatever torch's stream
        once, often = attacked(1, seed), attacked(8, seed)
        fooled = predict(MODEL, once) != LABELS
        assert fooled.any()
        assert torch.equal(often[fooled], once[fooled])
        more += int((predict(MODEL, often) != LABELS).sum() - fooled.sum())
    assert more > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 0}, "steps=0 is too few"),
        ({"restarts": 0}, "restarts=0 is too few"),
        ({"step_size": 0.0}, "step_size=0.0 is no length"),
        ({"step_size": float("nan")}, "step_size=nan is no length"),
    ],
)
def test_senseless_arguments_are_refused_in_one_line(
    arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        PGD(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_model_in_train_mode_is_attacked_in_eval_mode() -> None:
    model, expected = curved(), call(PGD(), MODEL, IMAGES, LABELS).images
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    generator, run = Generator().manual_seed(4), Run(silent, NO_CHECKPOINTS)
    assert torch.equal(PGD()(Target(model, 10), IMAGES, LABELS, generator, run).images, expected)
    assert all(part.training for part in model.modules())
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize("restarts", [1, 5])
@pytest.mark.parametrize(("steps", "notes"), [(19, ("few-steps",)), (20, ()), (21, ())])
def test_less_than_the_standard_budget_is_noted_whatever_the_restarts(
    steps: int, restarts: int, notes: tuple[str, ...]
) -> None:
    assert call(PGD(steps=steps, restarts=restarts), MODEL, IMAGES, LABELS).notes == notes


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize(("length", "notes"), [(0.99, ("few-steps",)), (1, ()), (1.01, ())])
def test_steps_that_do_not_cross_the_ball_are_noted(
    norm: str, length: float, notes: tuple[str, ...]
) -> None:
    attack = PGD(eps=0.3, norm=norm, steps=20, step_size=length * 0.3 / 20)
    assert call(attack, MODEL, IMAGES, LABELS).notes == notes


def test_the_odds_climb_like_the_cross_entropy_and_do_not_saturate() -> None:
    logits = torch.randn(50, 6, dtype=torch.float64, generator=Generator().manual_seed(0))
    labels = torch.arange(50) % 6
    for scale in (1e-3, 1.0, 1e3):
        leaf = (scale * logits).requires_grad_()
        found = odds(leaf, labels)
        loss = F.cross_entropy(leaf, labels, reduction="none")
        torch.testing.assert_close(F.softplus(found), loss)
        (ours,) = torch.autograd.grad(found.sum(), leaf)
        (theirs,) = torch.autograd.grad(loss.sum(), leaf)
        torch.testing.assert_close(ours * found.sigmoid()[:, None], theirs)
        assert (ours.abs().amax(1) > 0.9).all()


def test_a_restart_climbs_from_a_start_of_its_own_with_the_images_own_labels() -> None:
    arguments: dict[str, Any] = {"eps": 0.03, "steps": 1, "step_size": 0.03 / 4}
    images = torch.rand(64, 3, 8, 8, generator=Generator().manual_seed(1))
    labels = predict(MODEL, images)
    once, twice = (call(PGD(**arguments, restarts=n), MODEL, images, labels).images for n in (1, 2))
    standing = predict(MODEL, once) == labels
    assert not standing.all()
    assert not labels[standing].equal(labels[: int(standing.sum())])
    generator, run = Generator().manual_seed(4), Run(silent, NO_CHECKPOINTS)
    draw_seed(generator)
    left = images[standing], labels[standing]
    again = PGD(**arguments)(Target(MODEL, 10), *left, generator, run)
    assert torch.equal(twice[standing], again.images)


@pytest.mark.parametrize(
    ("one", "other", "stronger"),
    [
        (PGD(steps=20), PGD(steps=10), True),
        (PGD(steps=10), PGD(steps=20), False),
        (PGD(steps=20), PGD(steps=10, restarts=2), False),
        (PGD(steps=10, restarts=2), PGD(steps=20), False),
        (PGD(steps=20, step_size=1e-4), PGD(steps=10), False),
    ],
)
def test_more_steps_and_restarts_are_stronger(one: PGD, other: PGD, stronger: bool) -> None:
    assert one.at_least_as_strong_as(other) is stronger
