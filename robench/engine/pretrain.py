"""Train an encoder with an objective on unlabelled images."""

import math
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from robench.contracts import Batch, Objective, Run, State, TrainingSet
from robench.grid.recipe import Recipe
from robench.tensors.convolution import quick_convolutions
from robench.tensors.memory import is_out_of_memory
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
    epoch is omitted, since a contrastive loss depends on the batch's size. Training continues from
    ``run.checkpoints``, to the same bits as without an interruption. Raises TrainingError for a
    loss that is not finite, when memory runs out, and for fewer images than a batch.
    """
    steps = len(data) // recipe.batch
    if steps == 0:
        raise TrainingError(
            f"{label}: {len(data)} training images are less than one batch of {recipe.batch}; "
            "take more images or a smaller batch"
        )
    descent = optimizer(
        recipe.optimizer,
        objective.parameter_groups(),
        recipe.lr,
        recipe.momentum,
        recipe.weight_decay,
    )
    objective.train()
    half = recipe.precision == "bf16"
    if half:
        # Channels-last is the layout that bfloat16 convolutions are fast in.
        objective.to(memory_format=torch.channels_last)
    course = _Course(
        torch.empty(0, dtype=torch.int64, device=run.device),
        torch.zeros(steps, device=run.device),
        torch.zeros((), device=run.device, dtype=torch.float64),
    )
    found = run.checkpoints.load()
    if found is not None:
        _restore(found, objective, descent, generator, course)

    def state() -> State:
        _check(course, recipe, label)  # a state that training cannot go on from is not kept
        return _state(objective, descent, generator, course)

    total = recipe.epochs * steps
    for count in run.progress(range(total), label):
        if count < course.done:
            continue
        epoch, step = divmod(count, steps)
        if step == 0:
            objective.prepare(data, epoch, run)
            course.order = torch.randperm(len(data), generator=generator, device=run.device)
        for group in descent.param_groups:
            group["lr"] = learning_rate(recipe, epoch, step / steps)
        rows = course.order[step * recipe.batch : (step + 1) * recipe.batch]
        images = data.images[rows].float().div_(255)
        labels = None if data.labels is None else data.labels[rows]
        batch = Batch(images, rows, labels, epoch, recipe.epochs, count / total, generator)
        descent.zero_grad()
        try:
            with (
                quick_convolutions(objective),
                torch.autocast(run.device.type, dtype=torch.bfloat16, enabled=half),
            ):
                loss = objective(batch)
            loss.backward()
            descent.step()
            objective.after_step(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # Half the batch would be another loss: an image is told apart from all others in it.
            raise TrainingError(
                f"{label}: out of memory with a batch of {recipe.batch}, which is part of "
                "the recipe; try a smaller encoder, --precision bf16, or another preset"
            ) from None
        course.steps[step] = loss.detach()
        course.total += loss.detach()
        course.done = count + 1
        if step == steps - 1:
            _check(course, recipe, label)
            course.losses.append(course.total.item() / steps)
            course.total.zero_()
        run.checkpoints.save_if_due(state)
    return course.losses


@dataclass
class _Course:
    """How far training is, beside what torch keeps for itself.

    ``order`` is the epoch's permutation, ``steps`` the loss of each of its steps, ``total`` their
    sum so far, ``done`` the number of steps of the whole training, ``losses`` each epoch's mean.
    """

    order: Tensor
    steps: Tensor
    total: Tensor
    done: int = 0
    losses: list[float] = field(default_factory=list)


_COURSE = ("order", "steps", "total")


def _state(
    objective: Objective, descent: Optimizer, generator: Generator, course: _Course
) -> State:
    tensors = {f"objective.{name}": value for name, value in objective.state_dict().items()}
    for index, slots in descent.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
    tensors |= {name: getattr(course, name) for name in _COURSE}
    tensors["generator"] = generator.get_state()
    return State(tensors, {"done": course.done, "losses": list(course.losses)})


def _restore(
    state: State,
    objective: Objective,
    descent: Optimizer,
    generator: Generator,
    course: _Course,
) -> None:
    learned = {
        name.removeprefix("objective."): value
        for name, value in state.tensors.items()
        if name.startswith("objective.")
    }
    # What `prepare` put in buffers may have another size than at the start, or be new.
    trained = dict(objective.named_parameters())
    for name in learned.keys() - trained.keys():
        module, _, buffer = name.rpartition(".")
        setattr(
            objective.get_submodule(module),
            buffer,
            learned[name].to(course.total.device, copy=True),
        )
    objective.load_state_dict(learned)
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in state.tensors.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".", 2)
            slots.setdefault(int(index), {})[slot] = value
    groups = descent.state_dict()["param_groups"]
    descent.load_state_dict({"state": slots, "param_groups": groups})
    generator.set_state(state.tensors["generator"])
    for name in _COURSE:
        setattr(course, name, state.tensors[name].to(course.total.device))
    course.done, course.losses = state.values["done"], list(state.values["losses"])


def _check(course: _Course, recipe: Recipe, label: str) -> None:
    """Raise TrainingError where a loss of this epoch is not finite."""
    if math.isfinite(course.total.item()):
        return
    step = int((~course.steps.isfinite()).nonzero()[0])
    steps = len(course.steps)
    epoch = (course.done - 1) // steps
    raise TrainingError(
        f"{label}: the loss is {course.steps[step].item()} in epoch {epoch + 1}, step {step + 1} "
        f"of {steps}; try a smaller learning rate than {recipe.lr:g}, or a longer warm-up than "
        f"{recipe.warmup} epochs"
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
