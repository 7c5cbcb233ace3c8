"""An objective that teaches nothing: the encoder keeps its first weights."""

from torch import Tensor

from robench.contracts import Batch, Encoder, Objective
from robench.grid.recipe import Recipe


class Still(Objective):
    """A loss that is the same whatever the encoder does."""

    recipe = Recipe(epochs=1, batch=64)

    def __init__(self, encoder: Encoder, *, name: int = 0) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, batch: Batch) -> Tensor:
        return 0 * self.encoder(batch.images).sum()
