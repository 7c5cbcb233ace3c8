"""Minimising a loss over shuffled batches, and the linear layer that it starts from."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from robench.contracts import ProbeError, Run
from robench.steps import steps


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
    changing = {f"changing.{i}": t for i, t in enumerate([*parameters, *buffers, total])}

    def restore(found: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in changing.items():
                tensor.copy_(found[name])

    for epoch, step, batch_rows in steps(
        rows, batch, epochs, optimizer, lambda: changing, restore, generator, run, label, smallest
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate(lr, falls, epoch)
        optimizer.zero_grad()
        value = loss(batch_rows)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += value.detach()
        if step == (rows - smallest) // batch:
            if not math.isfinite(total.item()):
                raise ProbeError(
                    f"{label}: the loss is {total.item()} in epoch {epoch + 1}; "
                    f"try a smaller lr than {lr:g}"
                )
            total.zero_()
            after_epoch()


def check_positive(lr: float, epochs: int, batch: int) -> None:
    """Raise ValueError unless all are positive."""
    if min(lr, epochs, batch) <= 0:
        raise ValueError(f"lr={lr}, epochs={epochs} and batch={batch} must be positive")


def rate(lr: float, falls: Sequence[int], epoch: int) -> float:
    """The learning rate in an epoch, from 0: tenfold smaller after each number in ``falls``."""
    for _ in [fall for fall in falls if epoch >= fall]:
        lr *= 0.1
    return lr
