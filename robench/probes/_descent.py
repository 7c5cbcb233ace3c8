"""Training on shuffled batches, which continues after an interruption."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from robench.contracts import ProbeError, Run, State


def linear_layer(
    width: int, classes: int, device: torch.device, generator: Generator | None = None
) -> nn.Linear:
    """A layer [B, width] -> [B, classes] of zeros, or drawn as torch's from ``generator``."""
    # Empty at first: nn.Linear's own initialisation would draw from the global state.
    layer = nn.Linear(width, classes, device="meta").to_empty(device=device)
    bound = width**-0.5
    with torch.no_grad():
        for weights in (layer.weight, layer.bias):
            if generator is None:
                weights.zero_()
            else:
                weights.uniform_(-bound, bound, generator=generator)
    return layer


def descend(
    optimizer: Optimizer,
    loss: Callable[[Tensor], Tensor],
    rows: int,
    batch: int,
    epochs: int,
    generator: Generator,
    run: Run,
    label: str,
    falls: Sequence[int] = (),
    smallest: int = 1,
    buffers: Iterable[Tensor] = (),
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Minimise the ``loss`` of batches of row numbers, int64 [B], shuffled anew in each epoch.

    The learning rate falls tenfold after each number of epochs in ``falls``. A last batch of fewer
    than ``smallest`` rows is omitted. ``buffers`` are what ``loss`` and ``after_epoch`` change in
    place beside the parameters. Raises ProbeError for a loss that is not finite.
    """
    lr, total = optimizer.defaults["lr"], torch.zeros((), device=run.device)
    parameters = [weights for group in optimizer.param_groups for weights in group["params"]]
    changing = [*parameters, *buffers, total]
    starts = range(0, rows - smallest + 1, batch)
    order, done = torch.empty(0, dtype=torch.int64, device=run.device), 0
    found = run.checkpoints.load()
    if found is not None:
        order, done = found.tensors["order"].to(run.device), found.values["done"]
        generator.set_state(found.tensors["generator"])
        _restore(found, optimizer, changing)

    def state() -> State:
        tensors = {f"changing.{i}": tensor for i, tensor in enumerate(changing)}
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
        tensors |= {"order": order, "generator": generator.get_state()}
        return State(tensors, {"done": done})

    for count in run.progress(range(epochs * len(starts)), label):
        if count < done:
            continue
        epoch, step = divmod(count, len(starts))
        if step == 0:
            order = torch.randperm(rows, generator=generator, device=run.device)
        for group in optimizer.param_groups:
            group["lr"] = rate(lr, falls, epoch)
        optimizer.zero_grad()
        value = loss(order[starts[step] : starts[step] + batch])
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += value.detach()
        if step == len(starts) - 1:
            if not math.isfinite(total.item()):
                raise ProbeError(
                    f"{label}: the loss is {total.item()} in epoch {epoch + 1}; "
                    f"try a smaller lr than {lr:g}"
                )
            total.zero_()
            after_epoch()
        done = count + 1
        run.checkpoints.save_if_due(state)


def rate(lr: float, falls: Sequence[int], epoch: int) -> float:
    """The learning rate in an epoch, from 0: tenfold smaller after each number in ``falls``."""
    for _ in [fall for fall in falls if epoch >= fall]:
        lr *= 0.1
    return lr


def _restore(found: State, optimizer: Optimizer, changing: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for i, tensor in enumerate(changing):
            tensor.copy_(found.tensors[f"changing.{i}"])
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in found.tensors.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".", 2)
            slots.setdefault(int(index), {})[slot] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
