"""Train an encoder with an objective on unlabelled images."""

import math
from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from robench.contracts import Batch, Objective, Run, TrainingSet
from robench.engine.faults import broken, not_finite, shown
from robench.files import first_line
from robench.grid.recipe import Recipe
from robench.steps import steps
from robench.tensors import ranks
from robench.tensors.convolution import quick_convolutions
from robench.tensors.memory import is_out_of_memory
from robench.tensors.modes import draw_seed, evaluating
from robench.tensors.optim import optimizer, stepwise, warmup_cosine


class TrainingError(Exception):
    """Training cannot go on; the message says where it stopped and what to try."""


def pretrain(
    objective: Objective,
    data: TrainingSet,
    recipe: Recipe,
    generator: Generator,
    run: Run,
    label: str,
) -> list[float]:
    """Train in place and return the mean loss of each epoch.

    Objective, ``data`` and ``generator`` are on ``run.device``. The last, incomplete batch of an
    epoch is omitted, since a contrastive loss depends on the batch's size. Of several ranks, each
    takes its part of every batch, with random draws of its own. Training continues from
    ``run.checkpoints``, to the same bits as without an interruption. Raises TrainingError for a
    loss that is not a finite scalar, weights that are not finite, a gradient that does not reach
    the encoder, when memory runs out, and for fewer images than a batch.
    """
    count = len(data.images) // recipe.batch
    if count == 0:
        raise TrainingError(
            f"{label}: {len(data.images)} training images are less than one batch of "
            f"{recipe.batch}; take more images or a smaller batch"
        )
    size, rank = ranks.size(), ranks.rank()
    if recipe.batch % size:
        raise TrainingError(
            f"{label}: {size} processes cannot share a batch of {recipe.batch} evenly; choose a "
            "number that divides it"
        )
    descent = optimizer(
        recipe.optimizer,
        objective.parameter_groups(),
        recipe.lr,
        recipe.momentum,
        recipe.weight_decay,
    )
    objective.train()
    if recipe.precision == "bf16":
        _channels_last(objective, data.images[:2])
    losses = torch.zeros(recipe.epochs, count, dtype=torch.float64, device=run.device)

    def tensors() -> dict[str, Tensor]:
        # A state that training cannot continue from is not kept.
        _check(losses, objective, recipe, label)
        learned = objective.state_dict().items()
        return {f"objective.{name}": value for name, value in learned} | {"losses": losses}

    def restore(found: Mapping[str, Tensor]) -> None:
        if found["losses"].shape != losses.shape:
            raise ValueError("it is of other epochs")
        losses.copy_(found["losses"])
        _restore(objective, found)

    taken = steps(
        len(data.images),
        recipe.batch,
        recipe.epochs,
        descent,
        tensors,
        restore,
        generator,
        run,
        label,
        smallest=recipe.batch,
    )
    for epoch, step, rows in taken:
        if step == 0:
            objective.prepare(data, epoch, generator, run)
        for group in descent.param_groups:
            group["lr"] = learning_rate(recipe, epoch, step / count)
        draws = generator
        if size > 1:
            rows = rows.chunk(size)[rank]
            draws = Generator(run.device).manual_seed(draw_seed(generator) + rank)
        images = data.images[rows].float().div_(255)
        labels = None if data.labels is None else data.labels[rows]
        done = (epoch + step / count) / recipe.epochs
        batch = Batch(images, rows, labels, epoch, recipe.epochs, done, draws)
        descent.zero_grad()
        try:
            loss = loss_of(objective, batch, recipe.precision)
            if loss.requires_grad:
                torch.autograd.backward(loss)
            _check_gradient(objective)
            loss = loss.detach()
            ranks.average([loss, *_gradients(objective)])
            descent.step()
        except (RuntimeError, MemoryError) as error:
            if size > 1 and not is_out_of_memory(error):
                raise ConnectionError(
                    f"{label}: another of the {size} processes ended or cannot be reached "
                    f"({first_line(error)}); the same command goes on from the last checkpoint"
                ) from None
            if not is_out_of_memory(error):
                raise
            # Half the batch would be another loss: an image is told apart from all others in it.
            raise TrainingError(
                f"{label}: out of memory with a batch of {recipe.batch}, which is part of "
                "the recipe; try a smaller encoder, --precision bf16, or another preset"
            ) from None
        objective.after_step(batch)
        losses[epoch, step] = loss
        if step == count - 1:
            _check(losses, objective, recipe, label)
    return [float(mean) for mean in losses.mean(1)]


def loss_of(objective: Objective, batch: Batch, precision: str) -> Tensor:
    """The loss of a batch, in "bf16" where autocast computes in it, or in "fp32"."""
    half = torch.autocast(batch.images.device.type, torch.bfloat16, enabled=precision == "bf16")
    with quick_convolutions(objective), ranks.across_ranks(objective), half:
        loss = objective(batch)
    if not isinstance(loss, Tensor) or loss.dim() > 0:
        found = loss.detach() if isinstance(loss, Tensor) else loss
        what = f"returned {shown(found)}; the loss must be a scalar tensor"
        raise TrainingError(broken(objective, "forward", what))
    return loss


def _check_gradient(objective: Objective) -> None:
    """Raise TrainingError where a step leaves the encoder without any gradient."""
    trained = [weights for weights in objective.encoder.parameters() if weights.requires_grad]
    if trained and all(weights.grad is None for weights in trained):
        what = "returned a loss without a gradient to the encoder, which would never learn"
        raise TrainingError(broken(objective, "forward", what))


def _gradients(objective: Objective) -> list[Tensor]:
    return [weights.grad for weights in objective.parameters() if weights.grad is not None]


def _channels_last(objective: Objective, images: Tensor) -> None:
    """Take the layout that bfloat16 convolutions are fast in, where the encoder works in it."""
    objective.to(memory_format=torch.channels_last)
    try:
        with torch.no_grad(), evaluating(objective.encoder):
            objective.encoder(images.float().div_(255))
    except RuntimeError:  # such as of view(), which takes one layout only
        objective.to(memory_format=torch.contiguous_format)


def _restore(objective: Objective, found: Mapping[str, Tensor]) -> None:
    learned = {
        name.removeprefix("objective."): value
        for name, value in found.items()
        if name.startswith("objective.")
    }
    # What `prepare` put in the objective's buffers may have another size than at the start.
    device = next(objective.parameters()).device
    own = {name for name in learned if not name.startswith("encoder.")}
    for name in own - dict(objective.named_parameters()).keys():
        module, _, buffer = name.rpartition(".")
        buffers = objective.get_submodule(module)._buffers
        if buffer not in buffers:
            raise ValueError(f"{name} is not in the objective")
        buffers[buffer] = learned[name].to(device, copy=True)
    objective.load_state_dict(learned)


def _check(losses: Tensor, objective: Objective, recipe: Recipe, label: str) -> None:
    """Raise TrainingError for the first loss, or else a weight, that is not finite."""
    if math.isfinite(losses.sum().item()):
        lost = not_finite(dict(objective.named_parameters()))
        if lost is not None:
            raise TrainingError(
                f"{label}: {lost} is not finite after a step whose loss is; try a smaller learning "
                f"rate than {recipe.lr:g}"
            )
        return
    epoch, step = (int(i) for i in (~losses.isfinite()).nonzero()[0])
    raise TrainingError(
        f"{label}: the loss is {losses[epoch, step].item()} in epoch {epoch + 1}, step {step + 1} "
        f"of {losses.shape[1]}; try a smaller learning rate than {recipe.lr:g}, or a longer "
        f"warm-up than {recipe.warmup} epochs"
    )


def learning_rate(recipe: Recipe, epoch: int, share: float) -> float:
    """The learning rate in ``epoch`` (from 0), of which the ``share`` is done."""
    # RoCL calls its scheduler at the start of each epoch: the first one trains at time 1 already.
    time = epoch + (1.0 if recipe.update == "epoch" else share)
    if time < recipe.warmup or recipe.schedule == "cosine":
        peak = recipe.warmup + recipe.hold
        end = recipe.epochs + (peak if recipe.span == "all" else 0)
        return recipe.lr * warmup_cosine(time, recipe.warmup, end, recipe.warmup_start, recipe.hold)
    return recipe.lr * stepwise(epoch, recipe.falls)
