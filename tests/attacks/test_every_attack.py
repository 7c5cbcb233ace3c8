"""What each file in robench/attacks promises; a new file is under test without an edit here."""

import dataclasses
import importlib
import inspect
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from attacking import call
from torch import Tensor, nn

import robench.attacks
from robench.contracts import Attack

FILES = sorted(
    path.stem
    for path in Path(robench.attacks.__file__).parent.glob("*.py")
    if not path.stem.startswith("_")
)


def component(name: str) -> type[Attack]:
    module = importlib.import_module(f"robench.attacks.{name}")
    (found,) = (
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__ and not member.__name__.startswith("_")
    )
    assert issubclass(found, Attack)
    return found


@pytest.fixture(params=FILES)
def attack(request: pytest.FixtureRequest) -> Attack:
    return component(request.param)()


@pytest.fixture
def model(flimsy: Callable[[int], nn.Module]) -> nn.Module:
    return flimsy(10)


@pytest.fixture
def labels(
    model: nn.Module, images: Tensor, predict: Callable[[nn.Module, Tensor], Tensor]
) -> Tensor:
    return predict(model, images)


@pytest.mark.parametrize("name", FILES)
def test_it_is_a_frozen_value_of_plain_defaults(name: str) -> None:
    kind = component(name)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    assert dataclasses.is_dataclass(kind)
    plain = (bool, int, float, str, type(None))
    assert all(isinstance(field.default, plain) for field in dataclasses.fields(kind))
    with pytest.raises(dataclasses.FrozenInstanceError):
        kind().eps = 1.0  # type: ignore[attr-defined]


def test_it_returns_images_within_its_ball(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    attacked, notes, counts, fooled_by = call(attack, model, images, labels, seed=4)
    assert attacked.shape == images.shape
    assert attacked.dtype == images.dtype
    assert attacked.device == images.device
    assert not attacked.requires_grad
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    if attack.ball is not None:
        assert attack.ball.size(attacked, images).max() <= attack.ball.eps + 1e-6
    if fooled_by is not None:
        assert fooled_by.dtype == torch.int64
        assert fooled_by.shape == labels.shape
    assert all(isinstance(note, str) for note in notes)
    assert all(isinstance(name, str) and 0 <= n <= len(images) for name, n in counts.items())


def test_it_fools_a_flimsy_model_if_it_may_move(
    attack: Attack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    predict: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    attacked = call(attack, model, images, labels, seed=4).images
    standing = predict(model, attacked) == labels
    assert standing.all() if attack.ball is None else not standing.any()


def test_its_dice_are_the_generator_alone(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    first = call(attack, model, images, labels, seed=4).images
    torch.manual_seed(99)
    assert torch.equal(call(attack, model, images, labels, seed=4).images, first)


def test_it_leaves_the_global_random_state(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    call(attack, model, images, labels, seed=4)
    after = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert torch.equal(after[0], before[0])
    assert after[1:] == before[1:]


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
def test_it_leaves_its_arguments(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, grad: bool
) -> None:
    flat, last = model
    flat.train()  # a part with a mode of its own
    weight, kept_images, kept_labels = last.weight.clone(), images.clone(), labels.clone()
    with torch.set_grad_enabled(grad):
        call(attack, model, images, labels, seed=4)
    assert torch.equal(images, kept_images)
    assert not images.requires_grad
    assert torch.equal(labels, kept_labels)
    assert torch.equal(last.weight, weight)
    assert last.weight.requires_grad
    assert last.weight.grad is None
    assert [part.training for part in (model, flat, last)] == [False, True, False]


def test_it_takes_one_image(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    attacked = call(attack, model, images[:1], labels[:1], seed=4).images
    assert attacked.shape == images[:1].shape


def test_it_takes_images_that_are_already_misclassified(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    wrong = (labels + 1) % 10
    attacked = call(attack, model, images, wrong, seed=4).images
    if attack.ball is not None:
        assert attack.ball.size(attacked, images).max() <= attack.ball.eps + 1e-6


def test_it_takes_images_in_another_memory_layout(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    turned = images.contiguous(memory_format=torch.channels_last)
    assert not turned.is_contiguous()
    expected = call(attack, model, images, labels, seed=4).images
    torch.testing.assert_close(call(attack, model, turned, labels, seed=4).images, expected)
