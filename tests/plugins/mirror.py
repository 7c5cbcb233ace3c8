"""An objective in one file: an image and a noisy copy of it should look alike."""

import torch
from torch import Tensor

from robench.contracts import Batch, Encoder, Objective
from robench.grid.recipe import Recipe
from robench.tensors.contrast import nt_xent


class Mirror(Objective):
    """NT-Xent between each image and itself with ``noise`` added."""

    recipe = Recipe(epochs=2, batch=64)

    def __init__(self, encoder: Encoder, *, noise: float = 0.1, temperature: float = 0.5) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} should be positive")
        self.encoder, self.noise, self.temperature = encoder, noise, temperature

    def forward(self, batch: Batch) -> Tensor:
        images = batch.images
        noise = torch.randn(images.shape, generator=batch.generator, device=images.device)
        noisy = (images + self.noise * noise).clamp(0, 1)
        views = self.encoder(torch.cat([images, noisy])).chunk(2)
        return nt_xent(list(views), self.temperature)
