"""ACL, adversarial contrastive learning in two streams (Jiang et al. 2020, arXiv 2010.13337)."""

import torch
from torch import Generator, Tensor, nn

from robench.contracts import Batch, Encoder, Exported, Objective
from robench.grid.recipe import Recipe
from robench.tensors.ascend import Climb
from robench.tensors.batchnorm import ADVERSARIAL, add_branch, through_branch
from robench.tensors.contrast import nt_xent
from robench.tensors.folding import folded
from robench.tensors.learners import dual_projector, simclr_views

Stream = list[Tensor]
"""The embeddings [B, D] of the first view and of the second."""


class ACL(Objective):
    """The mean of two NT-Xents: of two views, and of their adversaries (ACL(DS), section 3.3).

    Adversaries of both views climb their common NT-Xent by PGD from a random start, in eval mode
    (train_simCLR.py:351-385). They have BatchNorms of their own, in the projector too, and these
    are evaluated: ACL's and later papers' evaluations take the adversarial branch.

    Defaults are the authors' code's (train_simCLR.py:70-82, 214-223). Where it differs from ours:
    crops are bicubic there, ours are bilinear; its start is clamped to the pixel range after the
    first step, ours before it; its last, incomplete batch is kept; its LARS has the learning rate
    inside the momentum (optimizer/lars.py:89-104). Its encoder normalises with ImageNet's mean and
    deviation, `resnet18(normalize=imagenet)`.
    """

    recipe = Recipe(epochs=1000, batch=512, optimizer="lars", lr=5.0, weight_decay=1e-6, warmup=10)

    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float = 0.5,
        eps: float = 8 / 255,
        step_size: float = 2 / 255,
        steps: int = 5,
        colour: float = 0.5,
        crop: float = 0.1,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be positive")
        self.encoder, self.projector = encoder, dual_projector(encoder.width)
        add_branch(self, ADVERSARIAL, momentum=0.1)
        self.temperature, self.climb = temperature, Climb(eps, step_size, steps)
        self.augment = simclr_views(colour, crop)

    def forward(self, batch: Batch) -> Tensor:
        clean, attacked = self.streams(self.views(batch), batch.generator)
        return (self.contrast(clean) + self.contrast(attacked)) / 2

    def views(self, batch: Batch) -> Tensor:
        """Two random views of each image, one after the other [2B, 3, H, W]."""
        return torch.cat([self.augment(batch.images, batch.generator) for _ in range(2)])

    def streams(self, views: Tensor, generator: Generator) -> tuple[Stream, Stream]:
        """The stream of the ``views``, and that of their adversaries; each is a BatchNorm batch."""
        network = self.network()
        with through_branch(self, ADVERSARIAL):
            attacked = network(self.adversary(views, generator))
        return list(network(views).chunk(2)), list(attacked.chunk(2))

    def adversary(self, views: Tensor, generator: Generator) -> Tensor:
        """The ``views`` pushed up their common NT-Xent, in the branch in use."""
        network = folded(self.network())
        return self.climb(
            lambda attacked: self.contrast(list(network(attacked).chunk(2))), views, generator
        )

    def network(self) -> nn.Module:
        """Maps both views to embeddings [2B, D]."""
        return nn.Sequential(self.encoder, self.projector)

    def contrast(self, stream: Stream) -> Tensor:
        return nt_xent(stream, self.temperature)

    def exported(self) -> Exported:
        return Exported(self.encoder, ADVERSARIAL, projector=self.projector)
