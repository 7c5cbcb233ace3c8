"""APGD without the work on fooled images: fewer images computed, the same ones standing."""

import pytest
import torch
from attacking import curved, grey_images, predict
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import Tensor, nn

from robench.attacks._until_fooled import stop_at_success
from robench.tensors.balls import ball
from robench.tensors.modes import preserved_random_state

NORMS = {"Linf": 0.001, "L2": 0.01, "L1": 0.04}  # radii at which half of the images fall


SIX = grey_images()
MANY = torch.cat([SIX, SIX.flip(2), SIX.flip(3), SIX.transpose(2, 3)])


@pytest.fixture
def model() -> nn.Sequential:
    """A model that sees several classes in the images, so that each has a label of its own."""
    model = curved().requires_grad_(False)
    model[-1].bias -= model(MANY).mean(0)
    assert len(model(MANY).argmax(1).unique()) > 4
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
    kind: type[APGDAttack], norm: str, model: nn.Module
) -> None:
    labels = predict(model, MANY)
    labels[0] = (labels[0] + 1) % 10
    computed: list[int] = []
    model.register_forward_pre_hook(lambda _, given: computed.append(len(given[0])))
    whole = climb(kind, model, MANY, labels, norm, stop=False)
    before = sum(computed)
    computed.clear()
    found = climb(kind, model, MANY, labels, norm, stop=True)
    assert sum(computed) < before
    standing = predict(model, found) == labels
    assert torch.equal(standing, predict(model, whole) == labels)
    assert 0 < standing[1:].sum() < len(MANY) - 1
    assert torch.equal(found[standing], MANY[standing])
    assert torch.equal(found[0], MANY[0])
    assert ball(norm.lower(), NORMS[norm]).size(found, MANY).max() <= NORMS[norm] + 1e-6


@pytest.mark.parametrize("norm", NORMS)
def test_it_ends_when_nothing_stands(
    norm: str, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NORMS, norm, 40 * NORMS[norm])
    labels = predict(model, SIX)
    calls: list[None] = []
    model.register_forward_pre_hook(lambda *_: calls.append(None))
    found = climb(APGDAttack, model, SIX, labels, norm, stop=True)
    # One call before the climb; in L1 sixty steps in larger balls look for the start.
    assert len(calls) < (20 if norm != "L1" else 80)
    assert (predict(model, found) != labels).all()
