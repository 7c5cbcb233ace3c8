"""My method: two views of an image attract each other, and repel those of all others."""

from torch import Tensor

from robench.contracts import Batch, Encoder, Objective
from robench.grid.recipe import Recipe
from robench.tensors.contrast import nt_xent
from robench.tensors.learners import projector, simclr_views


class MyMethod(Objective):
    """NT-Xent at a temperature of its own: `robench ls methods` shows this line."""

    # The schedule that you recommend; a preset's, and what is typed, win over it.
    recipe = Recipe(epochs=100, batch=256, lr=1e-3)

    # An argument has a type and a default, and is typed as --methods "my_method(temperature=0.1)".
    def __init__(self, encoder: Encoder, *, temperature: float = 0.2) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} should be positive")
        self.encoder, self.temperature = encoder, temperature
        # What is learned or remembered belongs in parameters and buffers: an interrupted training
        # goes on from these. Moving averages and queues are updated in after_step().
        self.projector = projector(encoder.width, 0, 128)
        self.augment = simclr_views(0.5, 0.08)

    def forward(self, batch: Batch) -> Tensor:
        # Images are float32 [B, 3, H, W] in [0, 1]. Every random draw is from batch.generator.
        views = [self.augment(batch.images, batch.generator) for _ in range(2)]
        embeddings = [self.projector(self.encoder(view)) for view in views]
        return nt_xent(embeddings, self.temperature)
