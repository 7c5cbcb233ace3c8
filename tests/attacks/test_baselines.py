"""FGSM, noise and the label-free attack, each against its formula in float64."""

import pytest
import torch
from attacking import call, curved
from faults import corners, honest
from torch import nn

from robench.attacks.embedding import Embedding
from robench.attacks.fgsm import FGSM
from robench.attacks.noise import Noise
from robench.attacks.pgd import PGD
from robench.attacks.transfer import Transfer
from robench.contracts import Attack

IMAGES = torch.tensor(corners().images[:30]) / 255
LABELS = torch.tensor(corners().labels[:30])
EPS = 16 / 255


def test_fgsm_is_the_sign_of_the_cross_entropys_gradient() -> None:
    model = curved(4).double()
    pixels = IMAGES.double().requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(pixels), LABELS), pixels)
    expected = (pixels + EPS * gradient.sign()).clamp(0, 1)
    made = call(FGSM(EPS), model, IMAGES.double(), LABELS)
    torch.testing.assert_close(made.images, expected.detach(), rtol=0, atol=1e-12)
    assert made.notes == ("few-steps",)


def test_fgsm_in_l2_moves_along_the_gradient_to_the_edge() -> None:
    model = curved(4).double()
    grey = torch.full((3, 3, 8, 8), 0.5, dtype=torch.float64)
    labels = model(grey).argmax(1)
    pixels = grey.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        nn.functional.cross_entropy(model(pixels), labels, reduction="sum"), pixels
    )
    length = gradient.flatten(1).norm(dim=1)[:, None, None, None]
    made = call(FGSM(0.3, "l2"), model, grey, labels).images
    torch.testing.assert_close(made, grey + 0.3 * gradient / length, rtol=0, atol=1e-12)


def test_noise_depends_on_the_generator_alone() -> None:
    first = call(Noise(EPS), honest(), IMAGES, LABELS).images
    assert torch.equal(first, call(Noise(EPS), curved(4), IMAGES, (LABELS + 1) % 4).images)
    assert not torch.equal(first, call(Noise(EPS), honest(), IMAGES, LABELS, seed=5).images)
    assert (first - IMAGES).abs().max() > 0.9 * EPS


def test_the_embedding_attack_knows_no_label_and_ends_farther_away_than_noise() -> None:
    model = curved(4)
    made = call(Embedding(EPS), model, IMAGES, LABELS).images
    assert torch.equal(made, call(Embedding(EPS), model, IMAGES, (LABELS + 1) % 4).images)

    def distance(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return (model(images) - model(IMAGES)).norm(dim=1)

    noisy = distance(call(Noise(EPS), model, IMAGES, LABELS).images)
    assert (distance(made) > 2 * noisy).all()


def test_the_embedding_attack_finds_the_farthest_corner_of_a_linear_encoder() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 1, bias=False)).double()
    grey = torch.full((4, 3, 2, 2), 0.5, dtype=torch.float64)
    made = call(Embedding(0.1), linear, grey, torch.zeros(4, dtype=torch.int64)).images
    moved = (linear(made) - linear(grey)).detach().abs()[:, 0]
    torch.testing.assert_close(moved, 0.1 * linear[1].weight.detach().abs().sum().expand(4))


@pytest.mark.parametrize("steps", [0, -1])
def test_no_step_is_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps={steps} must be at least 1"):
        Embedding(steps=steps)


@pytest.mark.parametrize("weak", [FGSM(EPS), Noise(EPS), Transfer(EPS)])
def test_pgd_is_stronger_than_a_baseline_in_its_ball(weak: Attack) -> None:
    assert PGD(EPS).at_least_as_strong_as(weak)
    assert not PGD(EPS, steps=5).at_least_as_strong_as(weak)
    assert not PGD(2 * EPS).at_least_as_strong_as(weak)
    assert not weak.at_least_as_strong_as(PGD(EPS))
