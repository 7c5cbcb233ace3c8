"""The null attack changes nothing."""

from collections.abc import Callable

import torch
from attacking import call
from torch import Tensor, nn

from robench.attacks.clean import Clean


def test_the_images_come_back(images: Tensor, flimsy: Callable[[int], nn.Module]) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    attacked, notes, *_ = call(Clean(), flimsy(10), images, labels)
    assert torch.equal(attacked, images)
    assert notes == ()
