"""One call of an attack, with the arguments that an evaluation would give it."""

import torch
from torch import Tensor, nn

from robench.contracts import NO_CHECKPOINTS, Attack, Attacked, Checkpoints, Run, Target
from robench.engine.progress import silent


def call(
    attack: Attack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int = 4,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Attacked:
    """What the attack returns with a generator of that seed."""
    with torch.no_grad():
        classes = model(images[:1]).shape[1]
    generator = torch.Generator().manual_seed(seed)
    target = Target(model, classes, surrogate=model)
    return attack(target, images, labels, generator, Run(silent, checkpoints))
