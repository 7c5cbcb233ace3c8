"""What happened to the images of some batches, and the state on disk that it is gone on from."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.contracts import Checkpoints, State


@dataclass(frozen=True)
class Part:
    """What happened to the images of some batches, on the CPU.

    ``columns`` has a value an image in each: label, both predictions, size, and the attacked image,
    float32 [3, H, W]; ``shown`` are the first clean images, to look at.
    """

    columns: tuple[Tensor, ...]
    shown: Tensor
    notes: frozenset[str]
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.columns[0])


def joined(parts: Sequence[Part]) -> Part:
    """All parts, one or more, as one."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Part(
        tuple(torch.cat(columns) for columns in zip(*(p.columns for p in parts), strict=True)),
        torch.cat([part.shown for part in parts]),
        frozenset().union(*(part.notes for part in parts)),
        counts,
    )


def state(parts: Sequence[Part], batch: int) -> State:
    """What it takes to go on after these parts, with batches of that size."""
    if not parts:
        return State({}, {"batch": batch})
    whole = joined(parts)
    tensors = {f"columns.{i}": column for i, column in enumerate(whole.columns)}
    values = {"batch": batch, "notes": sorted(whole.notes), "counts": dict(whole.counts)}
    return State({**tensors, "shown": whole.shown}, values)


def restored(found: State) -> list[Part]:
    """The parts that a state holds, as one; none where it holds none."""
    names = sorted(name for name in found.tensors if name.startswith("columns."))
    if not names:
        return []
    columns = tuple(found.tensors[name] for name in names)
    values = found.values
    return [Part(columns, found.tensors["shown"], frozenset(values["notes"]), values["counts"])]


@dataclass(frozen=True)
class Within:
    """The checkpoints of an attack on one batch: with its state, what happened before is kept."""

    outer: Checkpoints
    before: tuple[Part, ...]
    batch: int
    found: State | None

    def load(self) -> State | None:
        """The attack's own state, where it kept one on this batch."""
        if self.found is None or "attack" not in self.found.values:
            return None
        own = {
            name.removeprefix("attack."): tensor
            for name, tensor in self.found.tensors.items()
            if name.startswith("attack.")
        }
        return State(own, self.found.values["attack"])

    def reached(self, own: Callable[[], State]) -> None:
        """Keep the attack's own state with that of the batches before."""

        def both() -> State:
            before, within = state(self.before, self.batch), own()
            tensors = {f"attack.{name}": tensor for name, tensor in within.tensors.items()}
            values = {**before.values, "attack": dict(within.values)}
            return State({**before.tensors, **tensors}, values)

        self.outer.reached(both)
