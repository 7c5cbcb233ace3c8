"""Attacks without gradients of the model stay in their ball, hurt, and say if they are brief."""

import pytest
import torch
from attacking import call, curved
from faults import corners, honest
from torch import Generator

from robench.attacks.pgd import PGD
from robench.attacks.square import Square
from robench.attacks.transfer import Transfer
from robench.contracts import Attack, Run, Target
from robench.engine.progress import silent

IMAGES, LABELS = torch.tensor(corners().images[:30]) / 255, torch.tensor(corners().labels[:30])


@pytest.mark.parametrize("attack", [Square(16 / 255, queries=300), Transfer(16 / 255)])
def test_they_stay_in_their_ball_and_hurt(attack: Attack) -> None:
    model = honest()
    attacked = call(attack, model, IMAGES, LABELS).images
    assert attack.ball is not None
    assert attack.ball.size(attacked, IMAGES).max() <= 16 / 255 + 1e-6
    assert (model(attacked).argmax(1) == LABELS).float().mean() < 0.6
    assert "gradients" not in attack.needs


@pytest.mark.parametrize(("queries", "notes"), [(20, ("few-queries",)), (5000, ())])
def test_fewer_queries_than_the_standard_ones_are_noted(
    queries: int, notes: tuple[str, ...]
) -> None:
    model = honest()
    label = (model(IMAGES[:1]).argmax(1) + 1) % 4  # misclassified, so that nothing is computed
    assert call(Square(queries=queries), model, IMAGES[:1], label).notes == notes


def test_no_query_is_refused() -> None:
    with pytest.raises(ValueError, match="queries=0 is too few"):
        Square(queries=0)


def test_a_transfer_is_pgd_on_the_surrogate() -> None:
    target = Target(honest(), 4, surrogate=curved(4))
    generator = Generator().manual_seed(4)
    made = Transfer(16 / 255, steps=5)(target, IMAGES, LABELS, generator, Run(silent)).images
    assert torch.equal(made, call(PGD(16 / 255, steps=5), curved(4), IMAGES, LABELS).images)
    assert not torch.equal(made, call(PGD(16 / 255, steps=5), honest(), IMAGES, LABELS).images)


def test_an_image_that_stands_costs_as_many_queries_as_were_given() -> None:
    model, calls = honest(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    label = model(IMAGES[:1]).argmax(1)
    call(Square(1e-6, queries=20), model, IMAGES[:1], label)
    assert 20 <= len(calls) < 40
