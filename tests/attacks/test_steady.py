"""Logits that are the same twice are asked for twice; all others each time."""

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from robench.attacks._steady import Steady


def asked(answer: Callable[[Tensor], Tensor], questions: Sequence[Tensor]) -> tuple[int, Tensor]:
    """How often ``answer`` was called for these, and the last answer."""
    times = 0

    def ask(images: Tensor) -> Tensor:
        nonlocal times
        times += 1
        return answer(images)

    steady = Steady(ask)
    for images in questions:
        found = steady(images)
    return times, found


def double(images: Tensor) -> Tensor:
    return 2 * images


def test_the_same_images_are_answered_twice() -> None:
    images = torch.rand(3, 2, generator=Generator().manual_seed(0))
    times, found = asked(double, [images, *(images.clone() for _ in range(6))])
    assert times == 2
    torch.testing.assert_close(found, 2 * images)


def test_other_images_are_asked_about() -> None:
    first, second = torch.zeros(3, 2), torch.ones(3, 2)
    times, found = asked(double, [first, first, first, second, second[:2], second[:2], first])
    assert times == 6
    assert torch.equal(found, 2 * first)


def test_images_that_change_in_place_are_other_images() -> None:
    images = torch.zeros(3, 2)
    steady = Steady(double)
    for _ in range(3):
        steady(images)
    images += 1
    assert torch.equal(steady(images), torch.full((3, 2), 2.0))


def test_answers_at_random_are_never_settled() -> None:
    dice = Generator().manual_seed(0)
    images = torch.zeros(3, 2)
    times, _ = asked(lambda images: images + torch.rand(3, 2, generator=dice), [images] * 7)
    assert times == 7


def test_answers_that_are_no_numbers_are_never_settled() -> None:
    images = torch.zeros(3, 2)
    times, _ = asked(lambda images: images / 0, [images] * 7)
    assert times == 7
