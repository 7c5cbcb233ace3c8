"""AutoAttack on a sample: what is tried, in which order, and the guard against masked gradients."""

from typing import Any

import pytest
import torch
from attacking import call, flimsy, grey_images, predict
from faults import corners, honest
from torch import Generator, Tensor

from robench.attacks._sampled import SampledAutoAttack
from robench.attacks.autoattack import AutoAttack
from robench.attacks.pma import PMA, _margin
from robench.attacks.square import Square
from robench.catalog.catalog import Catalog
from robench.contracts import Attacked, Run, Target
from robench.engine.progress import silent

EPS = 8 / 255
IMAGES = torch.tensor(corners().images[:40]) / 255
LABELS = torch.tensor(corners().labels[:40])

pytestmark = pytest.mark.usefixtures("brief")


def tried(attack: SampledAutoAttack, counts: dict[str, int], images: Tensor = IMAGES) -> Attacked:
    target = Target(honest(), 4)
    run = Run(silent, counts=counts)
    return attack(target, images, LABELS[: len(images)], Generator().manual_seed(1), run)


def test_a_sample_of_all_leaves_what_autoattack_leaves_and_no_image_untried() -> None:
    model = honest()
    made = call(SampledAutoAttack(EPS, sample=1000), model, IMAGES, LABELS)
    whole = call(AutoAttack(EPS), model, IMAGES, LABELS)
    assert made.fooled_by is not None
    assert (made.fooled_by != -2).all()
    left, after = (predict(model, one.images) == LABELS for one in (made, whole))
    assert left.sum() <= after.sum()


def test_the_first_that_are_left_are_the_sample_and_it_ends_where_it_is_spent() -> None:
    first = tried(SampledAutoAttack(EPS, sample=3), {})
    assert first.fooled_by is not None
    assert first.counts["sampled"] == 3
    assert first.counts["guard-hits"] == 0
    standing = (predict(honest(), first.images) == LABELS).nonzero()[:, 0]
    assert (first.fooled_by[standing] == -2).sum() >= len(standing) - 3
    assert (first.fooled_by[standing[-1]] == -2).all()
    then = tried(SampledAutoAttack(EPS, sample=3), {"sampled": 3})
    assert then.counts["sampled"] == 0
    assert then.fooled_by is not None
    left = then.fooled_by[predict(honest(), then.images) == LABELS]
    assert len(left) > 3
    assert (left == -2).all()


def test_a_hit_of_the_guard_puts_every_image_under_the_full_attack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hit(self: Square, target: Target, images: Tensor, *_: Any) -> Attacked:
        return Attacked(1 - images)  # mirrored images of two corners: the other class

    monkeypatch.setattr(Square, "__call__", hit)
    made = tried(SampledAutoAttack(EPS, sample=3), {})
    assert made.counts["guard-hits"] > 0
    assert made.fooled_by is not None
    assert (made.fooled_by != -2).all()
    later = tried(SampledAutoAttack(EPS, sample=3), {"sampled": 3, "guard-hits": 1})
    assert later.fooled_by is not None
    assert (later.fooled_by != -2).all()


def test_typed_without_a_sample_it_is_autoattack_with_its_own_key_and_name() -> None:
    catalog = Catalog()
    plain = catalog.resolve("attacks", "autoattack(eps=8/255, norm=linf)")
    assert str(plain) == "autoattack(eps=8/255, norm=linf)"
    spec = catalog.resolve("attacks", "autoattack(sample=500)")
    assert catalog.build("attacks", spec) == SampledAutoAttack(sample=500)
    assert catalog.label("attacks", spec) == "autoattack(sample=500)"
    assert not SampledAutoAttack(sample=500).at_least_as_strong_as(AutoAttack())
    assert AutoAttack().at_least_as_strong_as(SampledAutoAttack(sample=500))


def test_nothing_to_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="sample=0 is too few"):
        SampledAutoAttack(sample=0)


def test_pma_climbs_the_probability_margin_also_where_softmax_saturates() -> None:
    logits = torch.randn(50, 6, dtype=torch.float64, generator=Generator().manual_seed(3))
    labels, rows = logits.argmax(1), torch.arange(50)

    def slope(loss: Any, scale: float) -> Tensor:
        z = (scale * logits).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(z).sum(), z)
        return gradient

    def probabilities(z: Tensor) -> Tensor:
        p = z.softmax(1)
        return p.scatter(1, labels[:, None], -1).amax(1) - p[rows, labels]

    expected = slope(probabilities, 1)
    p = logits.softmax(1).scatter(1, labels[:, None], -1).amax(1, keepdim=True)
    found = slope(lambda z: _margin(z, labels), 1)
    torch.testing.assert_close(found, expected / p, rtol=1e-9, atol=1e-12)
    assert (slope(probabilities, 1e4) == 0).all(1).any()
    far = slope(lambda z: _margin(z, labels), 1e4)
    assert (far[rows, labels] < 0).all()
    assert far.isfinite().all()


def test_pma_fools_a_linear_model_and_stays_in_its_ball() -> None:
    images, model = grey_images(), flimsy()
    labels = predict(model, images)
    made = call(PMA(EPS), model, images, labels).images
    assert not (predict(model, made) == labels).any()
    assert (made - images).abs().max() <= EPS + 1e-6
    with pytest.raises(ValueError, match="steps=1 is too few"):
        PMA(steps=1)
