"""The climb: where it starts, what it touches, and that it goes up."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from robench.tensors.ascend import GradientError, ascend
from robench.tensors.balls import L1, L2, Ball, Linf

BALLS = [Linf(8 / 255), L2(0.5), L1(4.0)]
each_ball = pytest.mark.parametrize("within", BALLS, ids=str)


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 36, 5)
        ).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 8, 8, generator=Generator().manual_seed(1))


@pytest.fixture
def loss(model: nn.Module, images: Tensor) -> Callable[[Tensor], Tensor]:
    with torch.no_grad():
        labels = model(images).argmax(1)
    return lambda x: F.cross_entropy(model(x), labels, reduction="none")


@each_ball
@pytest.mark.parametrize("drawn", [False, True])
def test_the_climb_raises_every_image_s_loss_and_stays_inside(
    loss: Callable[[Tensor], Tensor], images: Tensor, within: Ball, drawn: bool
) -> None:
    start = Generator().manual_seed(2) if drawn else None
    top = ascend(loss, images, within, steps=10, step_size=within.eps / 5, generator=start)
    assert (loss(top) > loss(images) + 1e-3).all()
    assert within.size(top, images).max() <= within.eps + 1e-6
    assert top.min() >= 0
    assert top.max() <= 1


def test_one_step_from_the_centre_is_the_fast_gradient_sign(
    loss: Callable[[Tensor], Tensor], images: Tensor
) -> None:
    leaf = images.clone().requires_grad_()
    loss(leaf).sum().backward()
    assert leaf.grad is not None
    expected = (images + 0.02 * leaf.grad.sign()).clamp(0, 1)
    top = ascend(loss, images, Linf(0.03), steps=1, step_size=0.02)
    torch.testing.assert_close(top, expected, rtol=0, atol=1e-7)


@each_ball
def test_without_steps_the_start_comes_back(
    loss: Callable[[Tensor], Tensor], images: Tensor, within: Ball
) -> None:
    def climb(generator: Generator | None, start: Tensor | None) -> Tensor:
        return ascend(loss, images, within, steps=0, step_size=1, generator=generator, start=start)

    somewhere = within.sample(images, Generator().manual_seed(2))
    assert torch.equal(climb(None, None), images)
    assert torch.equal(climb(Generator().manual_seed(2), None), somewhere)
    assert torch.equal(climb(Generator().manual_seed(3), somewhere), somewhere)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_ends_the_climb(images: Tensor, value: float) -> None:
    def loss(x: Tensor) -> Tensor:
        return x.sum() + value * x[2, 0, 0, 0]

    with pytest.raises(GradientError) as stopped:
        ascend(loss, images, Linf(0.1), steps=2, step_size=0.1)
    assert torch.equal(stopped.value.images, images)


def test_a_scalar_loss_is_climbed_like_its_terms(
    loss: Callable[[Tensor], Tensor], images: Tensor
) -> None:
    by_terms = ascend(loss, images, L2(0.5), steps=3, step_size=0.1)
    by_sum = ascend(lambda x: loss(x).sum(), images, L2(0.5), steps=3, step_size=0.1)
    assert torch.equal(by_terms, by_sum)


@pytest.mark.parametrize("grad", [True, False])
def test_only_the_input_is_differentiated(
    model: nn.Module, loss: Callable[[Tensor], Tensor], images: Tensor, grad: bool
) -> None:
    kept, tracked = images.clone(), images.clone().requires_grad_()
    dice = Generator().manual_seed(4)
    before = dice.get_state()

    def climb(centre: Tensor) -> Tensor:
        start = images  # where it is given, nothing is drawn
        return ascend(loss, centre, Linf(0.1), steps=2, step_size=0.05, generator=dice, start=start)

    with torch.set_grad_enabled(grad):
        top = climb(images)
        assert torch.equal(climb(tracked * 1.0), top)
        assert torch.is_grad_enabled() is grad
    assert torch.equal(dice.get_state(), before)
    assert ascend(loss, images, Linf(0.1), steps=0, step_size=1).data_ptr() != images.data_ptr()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not top.requires_grad
    assert not images.requires_grad
    assert torch.equal(images, kept)
