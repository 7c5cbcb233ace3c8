"""APGD of the official package, without the work on images that it has fooled already."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn


def stop_at_success(attack: Any) -> None:
    """Let each run of ``attack`` compute an image until it is fooled, and return it as it then is.

    The package goes on for all its iterations and returns the last iterate that fools the model.
    The path of an image depends on no other image, all random draws of a run precede its first
    step, and what comes after a success changes no robust flag: the flags are the package's. In L1
    the package climbs in larger balls first; those phases only look for a start and are left whole.
    """
    run = attack.attack_single_run

    def run_until_fooled(images: Tensor, labels: Tensor, x_init: Tensor | None = None) -> Any:
        if attack.eps != attack.eps_orig:
            return run(images, labels, x_init)
        model = attack.model
        attack.model = watched = _UntilFooled(model, images, labels)
        try:
            with suppress(_AllFooled):
                run(images, labels, x_init)
        finally:
            attack.model = model
        return None, watched.standing, None, watched.attacked

    attack.attack_single_run = run_until_fooled


class _AllFooled(Exception):  # noqa: N818 (it ends a run, and goes no further)
    """No image of this run is left standing."""


class _UntilFooled:
    """A model for one run of APGD: it computes the logits of an image until they are wrong once.

    From then on it answers for that image with its label, at no cost and with no gradient, which
    the package takes for an attempt that failed.
    """

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor) -> None:
        self.model, self.labels = model, labels
        self.standing = torch.ones_like(labels, dtype=torch.bool)
        self.attacked = images.clone()

    def __call__(self, images: Tensor) -> Tensor:
        rows = self.standing.nonzero().squeeze(1)
        if len(rows) == 0:
            raise _AllFooled
        logits: Tensor = self.model(images if len(rows) == len(images) else images[rows])
        fooled = rows[logits.detach().max(1)[1] != self.labels[rows]]
        self.standing[fooled] = False
        self.attacked[fooled] = images.detach()[fooled]
        if len(rows) == len(images):
            return logits
        settled = nn.functional.one_hot(self.labels, logits.shape[1]).to(logits)
        return settled.index_copy(0, rows, logits)
