"""The state of a piece of long work, kept with that of the work around it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from robench.contracts import Checkpoints, State

_NAME = "within"


@dataclass(frozen=True)
class Within:
    """The checkpoints of a piece: with each of its states, the state ``around`` it is kept.

    ``found`` is the state of both that is gone on from, if any.
    """

    outer: Checkpoints
    around: Callable[[], State]
    found: State | None

    def load(self) -> State | None:
        """The piece's own state, where one was kept."""
        if self.found is None or _NAME not in self.found.values:
            return None
        inner = self.found.values[_NAME]
        return State(_taken(self.found.tensors), inner, _taken(self.found.fixed))

    def save_if_due(self, own: Callable[[], State]) -> None:
        """Keep the piece's own state with the one around it."""

        def both() -> State:
            around, within = self.around(), own()
            return State(
                {**around.tensors, **_put(within.tensors)},
                {**around.values, _NAME: dict(within.values)},
                {**around.fixed, **_put(within.fixed)},
            )

        self.outer.save_if_due(both)


def _put(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{_NAME}.{name}": tensor for name, tensor in tensors.items()}


def _taken(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{_NAME}."
    return {n.removeprefix(start): tensor for n, tensor in tensors.items() if n.startswith(start)}
