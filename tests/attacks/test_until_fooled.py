"""APGD without the work on fooled images: fewer images computed, the same ones standing."""

from collections.abc import Callable

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import Tensor, nn

from robench.attacks._until_fooled import stop_at_success
from robench.tensors.balls import ball
from robench.tensors.modes import preserved_random_state

Build = Callable[[int], nn.Module]
Predict = Callable[[nn.Module, Tensor], Tensor]

NORMS = {"Linf": 0.001, "L2": 0.01, "L1": 0.04}  # radii at which half of the images fall


@pytest.fixture
def many(images: Tensor) -> Tensor:
    return torch.cat([images, images.flip(2), images.flip(3), images.transpose(2, 3)])


@pytest.fixture
def model(curved: Build, many: Tensor) -> nn.Sequential:
    """A model that sees several classes in the images, so that each has a label of its own."""
    model = curved(10).requires_grad_(False)
    assert isinstance(model, nn.Sequential)
    model[-1].bias -= model(many).mean(0)
    assert len(model(many).argmax(1).unique()) > 4
    return model


def climb(
    kind: type[APGDAttack], model: nn.Module, images: Tensor, labels: Tensor, norm: str, stop: bool
) -> Tensor:
    largereps = norm == "L1"  # as in the standard version
    attack = kind(model, norm=norm, eps=NORMS[norm], device="cpu", use_largereps=largereps)
    if kind is APGDAttack_targeted:
        attack.n_target_classes = 3
    if stop:
        stop_at_success(attack)
    with preserved_random_state(), torch.no_grad():
        attacked: Tensor = attack.perturb(images, labels)
    assert attack.model is model
    return attacked


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", [APGDAttack, APGDAttack_targeted])
def test_the_same_images_stand_after_less_work(
    kind: type[APGDAttack], norm: str, model: nn.Module, many: Tensor, predict: Predict
) -> None:
    labels = predict(model, many)
    labels[0] = (labels[0] + 1) % 10
    computed: list[int] = []
    model.register_forward_pre_hook(lambda _, given: computed.append(len(given[0])))
    whole = climb(kind, model, many, labels, norm, stop=False)
    before = sum(computed)
    computed.clear()
    found = climb(kind, model, many, labels, norm, stop=True)
    assert sum(computed) < before
    standing = predict(model, found) == labels
    assert torch.equal(standing, predict(model, whole) == labels)
    assert 0 < standing[1:].sum() < len(many) - 1
    assert torch.equal(found[standing], many[standing])
    assert torch.equal(found[0], many[0])
    assert ball(norm.lower(), NORMS[norm]).size(found, many).max() <= NORMS[norm] + 1e-6


@pytest.mark.parametrize("norm", NORMS)
def test_it_ends_when_nothing_stands(
    norm: str, model: nn.Module, images: Tensor, predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NORMS, norm, 40 * NORMS[norm])
    labels = predict(model, images)
    calls: list[None] = []
    model.register_forward_pre_hook(lambda *_: calls.append(None))
    found = climb(APGDAttack, model, images, labels, norm, stop=True)
    # One call before the climb; in L1 sixty steps in larger balls look for the start.
    assert len(calls) < (20 if norm != "L1" else 80)
    assert (predict(model, found) != labels).all()
