"""Train an encoder with an objective on unlabelled images."""

import math

import torch
from torch import Generator, Tensor

from robench.contracts import Objective, Progress
from robench.recipe import Recipe
from robench.tensors.optim import optimizer, stepwise, warmup_cosine


class TrainingError(Exception):
    """Training cannot go on; the message says where it stopped and what to try."""


def pretrain(
    objective: Objective,
    images: Tensor,
    recipe: Recipe,
    generator: Generator,
    progress: Progress,
    label: str,
) -> list[float]:
    """Train in place and return the mean loss of each epoch.

    ``images`` are stored pixels, uint8 [n, 3, H, W], on the objective's device, and ``generator``
    is there too. The last, incomplete batch of an epoch is left out, since a contrastive loss
    depends on the batch's size. Raises TrainingError when a loss is not finite, or there are fewer
    images than a batch.
    """
    steps = len(images) // recipe.batch
    if steps == 0:
        raise TrainingError(
            f"{label}: {len(images)} training images are less than one batch of {recipe.batch}; "
            "take more images or a smaller batch"
        )
    descent = optimizer(
        recipe.optimizer,
        objective.parameters(),
        recipe.lr,
        recipe.momentum,
        recipe.weight_decay,
    )
    objective.train()
    half = recipe.precision == "bf16"
    if half:
        # Channels-last is the layout that bfloat16 convolutions are fast in.
        objective.to(memory_format=torch.channels_last)
    losses: list[float] = []
    order = torch.empty(0)
    total = torch.zeros((), device=images.device, dtype=torch.float64)
    for count in progress(range(recipe.epochs * steps), label):
        epoch, step = divmod(count, steps)
        if step == 0:
            order = torch.randperm(len(images), generator=generator, device=images.device)
        for group in descent.param_groups:
            group["lr"] = learning_rate(recipe, epoch, step / steps)
        rows = order[step * recipe.batch : (step + 1) * recipe.batch]
        descent.zero_grad()
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=half):
            loss = objective(images[rows].float().div_(255), generator)
        loss.backward()
        descent.step()
        total += loss.detach()
        if step == steps - 1:
            losses.append(_finite(total.item() / steps, recipe, epoch, label))
            total.zero_()
    return losses


def _finite(loss: float, recipe: Recipe, epoch: int, label: str) -> float:
    if not math.isfinite(loss):
        raise TrainingError(
            f"{label}: the loss is {loss} in epoch {epoch + 1}; try a smaller learning rate than "
            f"{recipe.lr:g}, or a longer warm-up than {recipe.warmup} epochs"
        )
    return loss


def learning_rate(recipe: Recipe, epoch: int, share: float) -> float:
    """The learning rate in ``epoch`` (from 0), of which the ``share`` is done."""
    # RoCL calls its scheduler at the start of each epoch: the first one trains at time 1 already.
    time = epoch + (1.0 if recipe.update == "epoch" else share)
    if time < recipe.warmup or recipe.schedule == "cosine":
        peak = recipe.warmup + recipe.hold
        end = recipe.epochs + (peak if recipe.span == "all" else 0)
        return recipe.lr * warmup_cosine(time, recipe.warmup, end, recipe.warmup_start, recipe.hold)
    return recipe.lr * stepwise(epoch, recipe.falls)
