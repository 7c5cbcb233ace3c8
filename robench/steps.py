"""Training steps on shuffled batches, which continue after an interruption to the same bits."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from robench.contracts import Run, State


def steps(
    rows: int,
    batch: int,
    epochs: int,
    optimizer: Optimizer,
    tensors: Callable[[], Mapping[str, Tensor]],
    restore: Callable[[Mapping[str, Tensor]], object],
    generator: Generator,
    run: Run,
    label: str,
    smallest: int = 1,
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield the epoch and the step within it, both from 0, and the batch's row numbers [B].

    Rows are shuffled in each epoch; a last batch of fewer than ``smallest`` is omitted. The step
    is taken between two items: ``tensors()`` is what it changes beside the optimizer and the
    generator, and ``restore`` puts that back, from ``run.checkpoints``, before the first item.
    """
    starts = range(0, rows - smallest + 1, batch)
    order, done = torch.empty(0, dtype=torch.int64, device=run.device), 0
    total = epochs * len(starts)

    def resume(found: State) -> None:
        nonlocal order, done
        kept, fresh = dict(found.tensors), {name: t.clone() for name, t in tensors().items()}
        last, before, count = kept.pop("order"), generator.get_state(), int(found.values["done"])
        if not 0 < count <= total or not last.sort().values.equal(torch.arange(rows)):
            raise ValueError("it is of other images or epochs")
        if len(found.tensors) != found.values["tensors"]:
            raise ValueError("it lacks some tensors")
        try:
            generator.set_state(kept.pop("generator"))
            _restore(optimizer, kept)
            restore(kept)
        except Exception:
            generator.set_state(before)
            optimizer.state.clear()
            restore(fresh)
            raise
        order, done = last.to(run.device), count

    run.checkpoints.load(resume)

    def state() -> State:
        changing = {**tensors(), "order": order, "generator": generator.get_state()}
        for index, slots in optimizer.state_dict()["state"].items():
            changing |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
        return State(changing, {"done": done, "tensors": len(changing)})

    for count in run.progress(range(total), label):
        if count < done:
            continue
        epoch, step = divmod(count, len(starts))
        if step == 0:
            order = torch.randperm(rows, generator=generator, device=run.device)
        yield epoch, step, order[starts[step] : starts[step] + batch]
        done = count + 1
        run.checkpoints.save_if_due(state)


def _restore(optimizer: Optimizer, kept: dict[str, Tensor]) -> None:
    """Move the optimizer's state out of ``kept`` and into it."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name in [name for name in kept if name.startswith("optimizer.")]:
        _, index, slot = name.split(".", 2)
        slots.setdefault(int(index), {})[slot] = kept.pop(name)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
    for weights, own in optimizer.state.items():
        shapes = {slot.shape for slot in own.values()} - {torch.Size([])}
        if own.keys() != next(iter(optimizer.state.values())).keys() or shapes - {weights.shape}:
            raise ValueError("it is of another optimizer")
