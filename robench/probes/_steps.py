"""The steps of a training on shuffled batches, which can go on after any of them."""

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from robench.contracts import Checkpoints, Progress, State


def steps(
    rows: int,
    starts: range,
    epochs: int,
    optimizer: Optimizer,
    changing: Sequence[Tensor],
    generator: Generator,
    progress: Progress,
    label: str,
    checkpoints: Checkpoints,
) -> Iterator[tuple[int, Tensor, bool]]:
    """The epoch, from 0, the rows of each batch to take a step on, and whether it is the last.

    In each epoch so many ``rows`` are shuffled, and a batch begins at each of the ``starts``.
    ``changing`` is what a step changes in place, beside what the optimizer keeps. Where
    ``checkpoints`` have a state, it is put back before the first step, and steps that are done are
    left out.
    """
    order = torch.empty(0, dtype=torch.int64, device=generator.device)
    done = 0
    found = checkpoints.load()
    if found is not None:
        order, done = found.tensors["order"].to(generator.device), found.values["done"]
        generator.set_state(found.tensors["generator"])
        _restore(found, optimizer, changing)

    def state() -> State:
        tensors = {f"changing.{i}": tensor for i, tensor in enumerate(changing)}
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
        tensors |= {"order": order, "generator": generator.get_state()}
        return State(tensors, {"done": done})

    for count in progress(range(epochs * len(starts)), label):
        if count < done:
            continue
        epoch, step = divmod(count, len(starts))
        if step == 0:
            order = torch.randperm(rows, generator=generator, device=generator.device)
        yield epoch, order[starts[step] : starts[step] + starts.step], step == len(starts) - 1
        done = count + 1
        checkpoints.save_if_due(state)


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
