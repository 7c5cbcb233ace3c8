"""What each file in robench/attacks promises; a new file is under test without an edit here."""

import dataclasses
import importlib
import inspect
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from attacking import call, flimsy, grey_images, predict

import robench.attacks
from robench.attacks.clean import Clean
from robench.contracts import Attack, Attacked

FILES = sorted(
    path.stem
    for path in Path(robench.attacks.__file__).parent.glob("*.py")
    if not path.stem.startswith("_")
)
MODEL, IMAGES = flimsy(), grey_images()
LABELS = predict(MODEL, IMAGES)


@pytest.fixture(scope="module", params=FILES)
def attack(request: pytest.FixtureRequest) -> Attack:
    module = importlib.import_module(f"robench.attacks.{request.param}")
    (found,) = (
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__ and not member.__name__.startswith("_")
    )
    made = found()
    assert isinstance(made, Attack)
    return made


@pytest.fixture(scope="module")
def made(attack: Attack) -> Attacked:
    return call(attack, MODEL, IMAGES, LABELS)


def test_it_is_a_frozen_value_of_plain_defaults(attack: Attack) -> None:
    kind = type(attack)
    assert (kind(), hash(kind())) == (attack, hash(attack))
    plain = (bool, int, float, str, type(None))
    assert all(isinstance(field.default, plain) for field in dataclasses.fields(kind))
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.eps = 1.0  # type: ignore[attr-defined]


def test_it_returns_images_within_its_ball_which_fool_if_they_may(
    attack: Attack, made: Attacked
) -> None:
    attacked, notes, counts, fooled_by = made
    assert (attacked.shape, attacked.dtype) == (IMAGES.shape, IMAGES.dtype)
    assert attacked.device == IMAGES.device
    assert not attacked.requires_grad
    assert 0 <= attacked.min() <= attacked.max() <= 1
    standing = predict(MODEL, attacked) == LABELS
    if attack.ball is not None:
        assert "labels" not in attack.needs or not standing.any()
        assert attack.ball.size(attacked, IMAGES).max() <= attack.ball.eps + 1e-6
    if fooled_by is not None:
        assert (fooled_by.dtype, fooled_by.shape) == (torch.int64, LABELS.shape)
    assert all(isinstance(note, str) for note in notes)
    assert all(isinstance(name, str) and 0 <= n <= len(IMAGES) for name, n in counts.items())


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
def test_its_generator_is_all_that_it_draws_from_and_nothing_is_changed(
    attack: Attack, made: Attacked, grad: bool
) -> None:
    model, images, labels = flimsy(), IMAGES.clone(), LABELS.clone()
    flat, last = model
    flat.train()  # a part with a mode of its own
    weight = last.weight.clone()
    torch.manual_seed(99)
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    with torch.set_grad_enabled(grad):
        again = call(attack, model, images, labels)
    after = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert torch.equal(again.images, made.images)
    assert torch.equal(after[0], before[0])
    assert after[1:] == before[1:]
    assert torch.equal(images, IMAGES)
    assert not images.requires_grad
    assert torch.equal(labels, LABELS)
    assert torch.equal(last.weight, weight)
    assert last.weight.requires_grad
    assert last.weight.grad is None
    assert [part.training for part in (model, flat, last)] == [False, True, False]


def test_it_takes_one_image_also_if_it_is_misclassified(attack: Attack) -> None:
    one = IMAGES[:1]
    for labels in (LABELS[:1], (LABELS[:1] + 1) % 10):
        attacked = call(attack, MODEL, one, labels).images
        assert attacked.shape == one.shape
        assert attack.ball is None or attack.ball.size(attacked, one) <= attack.ball.eps + 1e-6


def test_it_takes_images_in_another_memory_layout(attack: Attack, made: Attacked) -> None:
    turned = IMAGES.contiguous(memory_format=torch.channels_last)
    assert not turned.is_contiguous()
    torch.testing.assert_close(call(attack, MODEL, turned, LABELS).images, made.images)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"norm": "inf"}, "norm=inf is unknown; choose linf, l2, l1"),
        ({"eps": 0.0}, "eps=0.0 should be a positive number"),
        ({"eps": 1.5}, "eps=1.5 is over 1"),
    ],
)
def test_a_senseless_ball_is_refused(
    attack: Attack, arguments: dict[str, object], words: str
) -> None:
    if attack.ball is not None:
        with pytest.raises(ValueError, match=words):
            dataclasses.replace(attack, **arguments)


def test_the_null_attack_changes_nothing() -> None:
    attacked, notes, *_ = call(Clean(), MODEL, IMAGES, LABELS)
    assert torch.equal(attacked, IMAGES)
    assert notes == ()
