"""PGD takes the steps of torchattacks and of the shared ascent; arguments mean what they say."""

from collections.abc import Callable

import pytest
import torch
import torchattacks
from attacking import call
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from robench.attacks.pgd import PGD
from robench.contracts import NO_CHECKPOINTS, Run, Target
from robench.engine.progress import silent
from robench.tensors.ascend import ascend
from robench.tensors.balls import L1, L2, Ball, Linf
from robench.tensors.modes import draw_seed, preserved_random_state

Build = Callable[[int], nn.Module]
Predict = Callable[[nn.Module, Tensor], Tensor]

both_norms = pytest.mark.parametrize("within", [Linf(8 / 255), L2(0.5)], ids=["linf", "l2"])


@pytest.fixture
def model(curved: Build) -> nn.Module:
    return curved(10)


@pytest.fixture
def labels(model: nn.Module, images: Tensor, predict: Predict) -> Tensor:
    return predict(model, images)


@pytest.fixture
def loss(model: nn.Module, labels: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda images: F.cross_entropy(model(images), labels)


@both_norms
def test_torchattacks_and_the_ascent_agree_from_the_centre(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    loss: Callable[[Tensor], Tensor],
    within: Ball,
) -> None:
    kind = torchattacks.PGD if isinstance(within, Linf) else torchattacks.PGDL2
    theirs = kind(model, eps=within.eps, alpha=within.eps / 4, steps=10, random_start=False)
    ours = ascend(loss, images, within, steps=10, step_size=within.eps / 4)
    torch.testing.assert_close(theirs(images, labels), ours, rtol=0, atol=1e-6)
    assert within.size(ours, images).min() > 0.5 * within.eps


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_equals_torchattacks_from_a_random_start(
    model: nn.Module, images: Tensor, labels: Tensor, norm: str
) -> None:
    eps = {"linf": 8 / 255, "l2": 0.5}[norm]
    ours = call(PGD(eps=eps, norm=norm), model, images, labels, 5).images
    kind = torchattacks.PGD if norm == "linf" else torchattacks.PGDL2
    with preserved_random_state():
        torch.manual_seed(draw_seed(Generator().manual_seed(5)))
        theirs = kind(model, eps=eps, alpha=eps / 10, steps=20, random_start=True)(images, labels)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("within", [Linf(8 / 255), L2(0.5), L1(4.0)], ids=["linf", "l2", "l1"])
def test_it_is_the_shared_ascent(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    loss: Callable[[Tensor], Tensor],
    within: Ball,
) -> None:
    norm = type(within).__name__.lower()
    attack = PGD(eps=within.eps, norm=norm, steps=10)
    attacked = call(attack, model, images, labels, 5).images
    dice = Generator().manual_seed(draw_seed(Generator().manual_seed(5)))
    ours = ascend(loss, images, within, steps=10, step_size=within.eps / 10, generator=dice)
    torch.testing.assert_close(attacked, ours, rtol=0, atol=1e-6)


def test_l1_raises_each_image_s_loss_within_the_ball(
    model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    attacked = call(PGD(eps=4.0, norm="l1"), model, images, labels, 5).images
    with torch.no_grad():
        before = F.cross_entropy(model(images), labels, reduction="none")
        after = F.cross_entropy(model(attacked), labels, reduction="none")
    assert (after > before + 0.01).all()
    assert L1(4.0).size(attacked, images).max() <= 4.0 + 1e-6


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_default_step_is_a_tenth_of_eps(
    model: nn.Module, images: Tensor, labels: Tensor, norm: str
) -> None:
    def images_with(step_size: float | None) -> Tensor:
        attack = PGD(eps=0.25, norm=norm, steps=3, step_size=step_size)
        return call(attack, model, images, labels, 6).images

    assert torch.equal(images_with(None), images_with(0.025))
    assert not torch.equal(images_with(None), images_with(0.05))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_each_image_keeps_the_first_restart_that_fools_it(
    model: nn.Module, images: Tensor, labels: Tensor, predict: Predict, norm: str
) -> None:
    eps = {"linf": 0.03, "l2": 0.2, "l1": 0.8}[norm]

    def attacked(restarts: int, seed: int) -> Tensor:
        attack = PGD(eps=eps, norm=norm, steps=1, step_size=eps / 4, restarts=restarts)
        return call(attack, model, images, labels, seed).images

    more = 0
    for seed in range(5):  # of which some leave room for a restart, whatever torch's stream
        once, often = attacked(1, seed), attacked(8, seed)
        fooled = predict(model, once) != labels
        assert fooled.any()
        assert torch.equal(often[fooled], once[fooled])
        more += int((predict(model, often) != labels).sum() - fooled.sum())
    assert more > 0


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_another_generator_is_another_start(
    model: nn.Module, images: Tensor, labels: Tensor, norm: str
) -> None:
    attack = PGD(norm=norm, steps=1)
    first = call(attack, model, images, labels, 8).images
    assert not torch.equal(first, call(attack, model, images, labels, 9).images)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"norm": "inf"}, "norm=inf is unknown; choose linf, l2, l1"),
        ({"eps": 0.0}, "eps=0.0 should be a positive number"),
        ({"eps": -0.1, "norm": "l2"}, "eps=-0.1 should be a positive number"),
        ({"eps": 8.0}, "eps=8.0 is over 1"),
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


def test_l2_and_l1_may_reach_further_than_one() -> None:
    assert PGD(eps=2.0, norm="l2").ball == L2(2.0)
    assert PGD(eps=12.0, norm="l1").ball == L1(12.0)


def test_a_model_in_train_mode_is_attacked_in_eval_mode(
    model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    expected = call(PGD(), model, images, labels).images
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    generator = Generator().manual_seed(4)
    run = Run(silent, NO_CHECKPOINTS)
    assert torch.equal(PGD()(Target(model, 10), images, labels, generator, run).images, expected)
    assert all(part.training for part in model.modules())
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize("restarts", [1, 5])
@pytest.mark.parametrize(("steps", "notes"), [(19, ("few-steps",)), (20, ()), (21, ())])
def test_less_than_the_standard_budget_is_noted_whatever_the_restarts(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    steps: int,
    restarts: int,
    notes: tuple[str, ...],
) -> None:
    made = call(PGD(steps=steps, restarts=restarts), model, images, labels, 0)
    assert made.notes == notes
