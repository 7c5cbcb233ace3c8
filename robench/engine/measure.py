"""Measures of an encoder's features on test images, clean and under the label-free attack."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from robench.attacks.embedding import Embedding
from robench.contracts import Run, Target
from robench.engine.bench import Bench
from robench.engine.subset import rows
from robench.grid.questions import Source, key
from robench.grid.spec import Spec
from robench.metrics import _representation as measures
from robench.metrics._retrieval import retrieval
from robench.tensors.features import extract, to_images
from robench.tensors.learners import simclr_views

_AT_ONCE, _SEED = 250, 0


class Measured(NamedTuple):
    """A measure of an encoder; ``attacked`` is nan where an attack has no part in it."""

    name: str
    clean: float
    attacked: float = float("nan")


def measure(
    bench: Bench, source: Source, dataset: Spec, limit: int | None, eps: Fraction
) -> Iterator[Measured]:
    """Measure an encoder on ``limit`` test images (None: all); nothing is stored.

    Views are SimCLR's at strength 0.5. Under attack, queries are moved by `Embedding` within
    ``eps`` in Linf, and what they are looked up in stays clean.
    """
    encoder, data = bench.encoder(source), bench.data(dataset)
    index = rows(len(data.test), limit)
    labels = data.test.labels[index]
    draws = Generator(bench.device).manual_seed(_SEED)
    attack, views = Embedding(float(eps)), simclr_views(0.5, 0.08)
    target, run = Target(encoder, len(data.classes), encoder), Run(bench.progress)
    clean, attacked, pairs = [], [], []
    for start in bench.progress(range(0, len(index), _AT_ONCE), f"features of {key(source)}"):
        images = to_images(data.test.images[index[start : start + _AT_ONCE]], bench.device)
        moved = attack(target, images, torch.zeros(len(images)), draws, run).images
        clean.append(_features(encoder, images))
        attacked.append(_features(encoder, moved))
        pairs.append([_features(encoder, views(images, draws)) for _ in range(2)])
    x, a = np.concatenate(clean), np.concatenate(attacked)
    first, second = (np.concatenate([pair[at] for pair in pairs]) for at in range(2))
    yield Measured("alignment of two views", measures.alignment(first, second))
    yield Measured("distance to the attacked image", 0.0, measures.alignment(x, a))
    yield Measured("uniformity", measures.uniformity(x), measures.uniformity(a))
    yield Measured("RankMe", measures.rank_me(x), measures.rank_me(a))
    dimension = measures.intrinsic_dimension
    yield Measured("intrinsic dimension (TwoNN)", dimension(x), dimension(a))
    learnable = [measures.cluster_learnability(one, np.random.default_rng(_SEED)) for one in (x, a)]
    yield Measured("Cluster Learnability", *learnable)
    found = [retrieval(one, x, labels, np.random.default_rng(_SEED)) for one in (x, a)]
    names = "retrieval mAP", "retrieval mAP@100", "retrieval P@1", "retrieval P@5", "retrieval P@10"
    for name, before, after in zip(names, *found, strict=True):
        yield Measured(name, before, after)


def _features(encoder: torch.nn.Module, images: Tensor) -> measures.Features:
    return extract(encoder, [images]).flatten(1).double().cpu().numpy()
