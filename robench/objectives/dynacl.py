"""DynACL, ACL with views that grow weak (Luo et al. 2023, arXiv 2303.01289)."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from robench.contracts import Batch, Encoder, Exported
from robench.objectives.acl import ACL
from robench.tensors.batchnorm import ADVERSARIAL
from robench.tensors.momentum import follow, follower

STAGES = 20
"""Equal parts of the training: 50 of 1000 epochs each (train_DynACL.py:60)."""


class DynACL(ACL):
    """(1 - w) times ACL's clean loss, and (1 + w) times its adversarial one, halved.

    Views get weaker from stage to stage, from strength 1 down to 1 / 20, and w rises to ``swap``
    (equations 3 to 5). Two methods carry the name. The ``variant`` "ema" is the authors' code
    (train_DynACL.py): the second view goes through a moving average of encoder and projector, which
    is what is evaluated, so each BatchNorm batch has one view. "schedule" is ACL with the two
    schedules alone, as the paper has it and as AIR's code runs it (pretraining.py:349-354).

    In the authors' code w rises one epoch before the views change; AIR's code has them change
    together, and so has "schedule". The average follows before the optimiser's step there, and
    after it here. What ACL's docstring says holds here too, but crops are bilinear in both.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        variant: str = "ema",
        swap: float = 2 / 3,
        momentum: float = 0.99,
        temperature: float = 0.5,
        eps: float = 8 / 255,
        step_size: float = 2 / 255,
        steps: int = 5,
        colour: float = 0.5,
        crop: float = 0.1,
    ) -> None:
        super().__init__(
            encoder,
            temperature=temperature,
            eps=eps,
            step_size=step_size,
            steps=steps,
            colour=colour,
            crop=crop,
        )
        if variant not in ("ema", "schedule"):
            raise ValueError(f"variant={variant} is unknown; choose ema or schedule")
        if not 0 <= swap <= 1 or not 0 <= momentum <= 1:
            raise ValueError(f"swap={swap} and momentum={momentum} must be in [0, 1]")
        self.swap, self.momentum = swap, momentum
        self.average = follower(super().network()) if variant == "ema" else None
        if variant == "ema":
            # Its scheduler steps once an epoch, the first at a tenth (utils.py:532-541).
            self.recipe = replace(ACL.recipe, update="epoch", hold=1)

    def forward(self, batch: Batch) -> Tensor:
        clean, attacked = self.streams(self.views(batch), batch.generator)
        early = 1 if self.average is not None else 0
        weight = self.swap * stage(batch.epoch + early, batch.epochs) / STAGES
        return ((1 - weight) * self.contrast(clean) + (1 + weight) * self.contrast(attacked)) / 2

    def views(self, batch: Batch) -> Tensor:
        augment = self.augment.weaker(1 - stage(batch.epoch, batch.epochs) / STAGES)
        return torch.cat([augment(batch.images, batch.generator) for _ in range(2)])

    def network(self) -> nn.Module:
        own = super().network()
        return own if self.average is None else _EachItsOwn(own, self.average)

    def after_step(self, batch: Batch) -> None:
        if self.average is not None:
            follow(self.average, super().network(), self.momentum)

    def exported(self) -> Exported:
        if self.average is None:
            return super().exported()
        assert isinstance(self.average, nn.Sequential)
        encoder, projector = self.average
        assert isinstance(encoder, Encoder)
        return Exported(encoder, ADVERSARIAL, projector=projector)


def stage(epoch: int, epochs: int) -> int:
    """The stage of an epoch, both counted from 0."""
    return epoch * STAGES // epochs


class _EachItsOwn(nn.Module):
    """The first half of a batch goes through one network, and the second through another."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.chunk(2)
        return torch.cat([self.first(first), self.second(second)])
