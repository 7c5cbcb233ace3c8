"""RoCL, adversarial contrastive learning (Kim, Tack & Hwang 2020, arXiv 2006.07589)."""

import torch
from torch import Generator, Tensor, nn

from robench.contracts import Batch, Encoder, Exported, Objective
from robench.grid.recipe import Recipe
from robench.tensors.ascend import ascend
from robench.tensors.balls import Linf
from robench.tensors.contrast import nt_xent
from robench.tensors.folding import folded
from robench.tensors.learners import projector, rocl_views


class RoCL(Objective):
    """NT-Xent over two views and an adversary, plus that of adversary and second view / ``lamda``.

    The adversary of the first view climbs its NT-Xent against the second by PGD from a random
    start, with encoder and projector in eval mode (src/attack_lib.py:121-162). The regulariser has
    a forward pass of its own, whose BatchNorm batch is the adversary and the second view; the main
    loss has all three views in one (src/rocl_train.py:135-157).

    Defaults are the authors' code's (src/argument.py:99-144). There eps is 0.0314 and the step
    0.007, where the paper says 8/255 and 2/255. ``stop_gradient`` is theirs as well
    (src/loss.py:55): similarities pass gradients to the anchor's side only, where NT-Xent as
    published lets them reach both; it is on by default because the published numbers come from that
    code, and ``stop_gradient=false`` gives the formula's own gradient.
    """

    # Two GPUs of 256 images; peak 15 x 0.1 after 10 epochs from 0.1 (src/argument.py:110-125,
    # rocl_train.py:111-116). The cosine's period is all epochs, and handing over to it takes one
    # more at the peak (warmup_scheduler/scheduler.py:25-32).
    recipe = Recipe(
        epochs=1000,
        batch=512,
        optimizer="lars",
        lr=1.5,
        weight_decay=1e-6,
        warmup=10,
        warmup_start=1 / 15,
        update="epoch",
        hold=1,
        span="all",
    )

    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float = 0.5,
        eps: float = 0.0314,
        step_size: float = 0.007,
        steps: int = 7,
        lamda: float = 256.0,
        stop_gradient: bool = True,
        hidden: int = 2048,
        output: int = 128,
        colour: float = 0.5,
        crop: float = 0.08,
    ) -> None:
        super().__init__()
        if temperature <= 0 or lamda <= 0 or not 0 < eps <= 1 or step_size <= 0 or steps < 1:
            raise ValueError(
                f"temperature={temperature}, lamda={lamda}, step_size={step_size} must be "
                f"positive, eps={eps} in (0, 1] and steps={steps} at least 1"
            )
        self.encoder = encoder
        self.projector = projector(encoder.width, hidden, output)
        self.temperature, self.lamda, self.stop_gradient = temperature, lamda, stop_gradient
        self.ball, self.step_size, self.steps = Linf(eps), step_size, steps
        self.augment = rocl_views(colour, crop)

    def forward(self, batch: Batch) -> Tensor:
        first, second = (self.augment(batch.images, batch.generator) for _ in range(2))
        adversary = self.adversary(first, second, batch.generator)
        regulariser = self._contrast([adversary, second]) / self.lamda
        return self._contrast([first, second, adversary]) + regulariser

    def exported(self) -> Exported:
        return Exported(self.encoder, projector=self.projector)

    def adversary(self, views: Tensor, targets: Tensor, generator: Generator) -> Tensor:
        """Views [B, 3, H, W] pushed away from their targets by PGD on NT-Xent, within the ball."""
        network = folded(nn.Sequential(self.encoder, self.projector))
        with torch.no_grad():
            # In eval mode an embedding depends on its own image alone: once serves every step.
            target = network(targets)

        def loss(attacked: Tensor) -> Tensor:
            pair = [network(attacked), target]
            return nt_xent(pair, self.temperature, stop_gradient=self.stop_gradient)

        return ascend(
            loss,
            views,
            self.ball,
            steps=self.steps,
            step_size=self.step_size,
            generator=generator,
        )

    def _contrast(self, views: list[Tensor]) -> Tensor:
        embeddings = self.projector(self.encoder(torch.cat(views))).chunk(len(views))
        return nt_xent(list(embeddings), self.temperature, stop_gradient=self.stop_gradient)
