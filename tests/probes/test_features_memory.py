"""Features are extracted in halves when memory runs out, and stay the same."""

import numpy as np
import pytest
import torch
from batches import RUN
from torch import Tensor

from robench.contracts import Encoder, Split
from robench.probes._on_features import features


class Hungry(Encoder):
    """No machine has the memory for more than ``fits`` images at a time."""

    def __init__(self, fits: int) -> None:
        super().__init__()
        self.width, self.fits = 12, fits
        self.layer = torch.nn.Linear(12, 12)

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.fits:
            torch.empty(2**50, dtype=torch.uint8)
        found: Tensor = self.layer(images.flatten(1))
        return found


SPLIT = Split(
    np.random.default_rng(0).integers(0, 256, (23, 3, 2, 2), dtype=np.uint8), np.zeros(23, int)
)


@pytest.mark.parametrize("fits", [1, 2, 5])
def test_halves_have_the_same_features_and_are_told_of(fits: int) -> None:
    encoder = Hungry(100)
    whole = features(encoder, SPLIT, 10, RUN)
    encoder.fits = fits
    with pytest.warns(UserWarning, match=r"out of memory: features are made \d images"):
        again = features(encoder, SPLIT, 10, RUN)
    torch.testing.assert_close(again, whole, rtol=0, atol=1e-6)


def test_what_suffices_is_not_halved() -> None:
    assert features(Hungry(10), SPLIT, 10, RUN).shape == (23, 12)


def test_one_image_too_many_is_an_error() -> None:
    with (
        pytest.warns(UserWarning, match="memory"),
        pytest.raises(RuntimeError, match="allocate"),
    ):
        features(Hungry(0), SPLIT, 10, RUN)
