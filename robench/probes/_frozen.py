"""A linear layer trained through a frozen encoder that sees every image anew in each epoch."""

from collections import deque
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from robench.contracts import Checkpoints, Encoder, Progress
from robench.probes._training import Schedule, descend
from robench.tensors.modes import evaluating, frozen, full_precision


def fit_layer(
    layer: nn.Linear,
    encoder: Encoder,
    known: tuple[Tensor, Tensor],
    see: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    generator: Generator,
    progress: Progress,
    label: str,
    checkpoints: Checkpoints,
) -> nn.Linear:
    """Train the layer by cross-entropy on the features of what ``see`` makes of each batch.

    ``see`` maps images [B, 3, H, W] in [0, 1] and labels [B] to images. The encoder is frozen and
    in eval mode and full precision throughout, as it is when features are extracted or attacked.
    """

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        seen = see(images, labels)
        with torch.no_grad():
            features = encoder(seen)
        return cross_entropy(layer(features), labels)

    with evaluating(encoder), frozen(encoder), full_precision():
        epochs = descend(
            schedule,
            layer.parameters(),
            known,
            loss,
            generator,
            progress,
            label,
            checkpoints=checkpoints,
        )
        deque(epochs, maxlen=0)
    return layer.requires_grad_(False)
