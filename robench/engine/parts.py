"""What happened to the images of some batches, and the state on disk that it is gone on from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.contracts import State

_COLUMNS = 7


@dataclass(frozen=True)
class Part:
    """What happened to the images of some batches, on the CPU.

    ``columns`` has a value an image in each: label, both predictions with their confidences, size,
    and the attacked image, float32 [3, H, W]; ``shown`` are the first clean images, to look at.
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
    fixed: dict[str, Tensor] = {}
    for number, part in enumerate(parts):
        fixed |= {f"{number}.{i}": column for i, column in enumerate(part.columns)}
        fixed[f"{number}.shown"] = part.shown
    said = [{"notes": sorted(part.notes), "counts": dict(part.counts)} for part in parts]
    return State({}, {"batch": batch, "parts": said}, fixed)


def restored(found: State) -> list[Part]:
    """The parts that a state holds."""
    return [
        Part(
            tuple(found.fixed[f"{number}.{i}"] for i in range(_COLUMNS)),
            found.fixed[f"{number}.shown"],
            frozenset(said["notes"]),
            said["counts"],
        )
        for number, said in enumerate(found.values.get("parts", []))
    ]
