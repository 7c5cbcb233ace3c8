"""Test-time adaptation of a classifier under corruptions, by a fixed protocol.

The model is reset before each corruption and severity, sees the images in the order of the test
subset in batches of 200, and makes one step a batch. Accuracies are of clean probes on frozen
encoders; an attack on a model that changes with each batch is not defined, so there is none.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Adam, AdamW

from robench.attacks.corruption import KINDS, corrupted
from robench.contracts import ProbeError
from robench.engine.bench import Bench
from robench.engine.subset import rows
from robench.grid.questions import Probing
from robench.tensors.features import to_images
from robench.tensors.modes import full_precision

BATCH = 200  # tent's, on CIFAR-10-C
_SHARPNESS, _ROUNDS = 0.01 * 0.7, 3  # CLIP-OT's clipot.py:12-58

Way = Callable[[nn.Sequential, list[Tensor]], list[Tensor]]
"""Predictions for each batch of images; the model may be changed."""


class Adapted(NamedTuple):
    """The mean accuracy over the 15 corruptions at a severity, with a way of adapting."""

    way: str
    severity: int
    accuracy: float


def adapt(bench: Bench, probing: Probing, limit: int | None) -> Iterator[Adapted]:
    """Try every way at every severity, on ``limit`` test images (None: all).

    Raises ProbeError for an encoder without BatchNorm, or a probe that is no linear layer.
    """
    model, test = bench.classifier(probing), bench.data(probing.dataset).test
    normed = any(isinstance(part, _BatchNorm) for part in model.modules())
    if not normed or not isinstance(model.get_submodule("linear"), nn.Linear):
        raise ProbeError("adaptation needs an encoder with BatchNorm and a linear probe")
    index = rows(len(test), limit)
    labels = torch.tensor(test.labels[index], device=bench.device)
    for severity in range(1, 6):
        right: dict[str, list[float]] = {way: [] for way in WAYS}
        for kind in bench.progress(KINDS, f"severity {severity}"):
            pixels = test.images[index].transpose(0, 2, 3, 1)
            made = np.stack([corrupted(one, kind, severity) for one in pixels])
            images = to_images(made.transpose(0, 3, 1, 2), bench.device)
            for way in WAYS:
                predicted = predictions(model, images, way)
                right[way].append((predicted == labels).double().mean().item())
        for way, shares in right.items():
            yield Adapted(way, severity, sum(shares) / len(shares))


def predictions(model: nn.Sequential, images: Tensor, way: str, batch: int = BATCH) -> Tensor:
    """The predictions [n] of a copy of ``model`` that adapts to the images on its way."""
    own = copy.deepcopy(model).eval().requires_grad_(False)
    with full_precision():
        return torch.cat(WAYS[way](own, list(torch.split(images, batch)))).cpu().to(images.device)


def unadapted(model: nn.Sequential, batches: list[Tensor]) -> list[Tensor]:
    """The model as it is."""
    with torch.no_grad():
        return [model(images).argmax(1) for images in batches]


def batch_statistics(model: nn.Sequential, batches: list[Tensor]) -> list[Tensor]:
    """BatchNorm by the statistics of the batch (Schneider et al. 2020, arXiv 2006.16971, N = 0)."""
    _scales(model)
    return unadapted(model, batches)


def tent(model: nn.Sequential, batches: list[Tensor]) -> list[Tensor]:
    """Adam at 1e-3 on the entropy of the predictions, which are those before the step.

    Wang et al. (2021, arXiv 2006.10726): scales and shifts of BatchNorm alone, with statistics of
    the batch.
    """
    optimizer, found = Adam(_scales(model), 1e-3), []
    for images in batches:
        logits = model(images)
        chances = logits.log_softmax(1)
        _descend(optimizer, -(chances.exp() * chances).sum(1).mean())
        found.append(logits.detach().argmax(1))
    return found


def sinkhorn(model: nn.Sequential, batches: list[Tensor]) -> list[Tensor]:
    """AdamW at 1e-4 towards balanced codes of the batch, which is predicted after the step.

    The idea of CLIP-OT (arXiv 2411.17002, clipot.py:12-58) with the probe's rows as prototypes. It
    takes every batch to have as many images of each class.
    """
    encoder, layer = model.get_submodule("encoder"), model.get_submodule("linear")
    prototypes = normalize(layer.get_parameter("weight"), dim=1)
    optimizer, found = AdamW(_scales(model), 1e-4, weight_decay=0.01), []
    for images in batches:
        cosines = normalize(encoder(images), dim=1) @ prototypes.T
        codes = balanced(cosines.detach() / _SHARPNESS)
        _descend(optimizer, -(codes * (cosines / 0.01).log_softmax(1)).sum(1).mean())
        found += unadapted(model, [images])
    return found


def balanced(scores: Tensor) -> Tensor:
    """Codes [B, K] that sum to 1 over classes and nearly alike over images, by Sinkhorn-Knopp."""
    # In logarithms: exp of a cosine over 0.007 is beyond float32.
    for _ in range(_ROUNDS):
        scores = scores - scores.logsumexp(0, keepdim=True)
        scores = scores - scores.logsumexp(1, keepdim=True)
    return scores.exp()


WAYS: Mapping[str, Way] = {
    "none": unadapted,
    "bn-stats": batch_statistics,
    "tent": tent,
    "sinkhorn": sinkhorn,
}


def _scales(model: nn.Module) -> list[Tensor]:
    """The scales and shifts of BatchNorm, to be trained, which from now on uses the batch."""
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    for norm in norms:
        norm.train()
    chosen = [part for norm in norms for part in norm.parameters(recurse=False)]
    return [part.requires_grad_() for part in chosen]


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
