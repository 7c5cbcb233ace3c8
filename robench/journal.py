"""What long work was told on its way, in order: done again, it gets the same answers at once.

A search is resumed without a change to its code: it begins anew, from its seed, and what it asked
before, of a model say, is answered from the journal. When a question that itself asked others is
answered, its answer stands for theirs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from robench.contracts import Checkpoints, State
from robench.within import Within

Answer = tuple[Tensor | None, ...]


class Question:
    """What an answer depends on, as far as it is compared: shapes and sums."""

    def __init__(self, *tensors: Tensor) -> None:
        self.device = tensors[0].device
        self.signs = [[*tensor.shape, tensor.detach().sum().item()] for tensor in tensors]


@dataclass(frozen=True)
class _Entry:
    """A question's signs, its answer, and the global dice afterwards, where they fell."""

    signs: list[list[float]]
    answer: Answer
    dice: tuple[Tensor, ...]


class Journal:
    """Answers of deterministic work, kept by ``checkpoints``.

    ``said`` are lines of the work, kept with the answers and there again when it goes on. A state
    is whole at any time, also in the middle of an answer.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._found = checkpoints.load()
        self._levels, self.said = ([[]], []) if self._found is None else _restored(self._found)
        self._places = [0]  # of the next question at each depth
        self._grown = False

    def answer(self, question: Question, find: Callable[[], Answer]) -> Answer:
        """What ``find()`` gives, or gave before. Leaves torch's global dice as ``find()`` does."""
        known = self.recall(question)
        if known is not None:
            return known
        before = _dice()
        with self._deeper():
            found = find()
        after = _dice()
        fell = not all(map(torch.equal, before, after))
        self.keep(question, found, after if fell else ())
        return found

    def tensor(self, question: Question, find: Callable[[], Tensor]) -> Tensor:
        """The same for an answer of one tensor."""
        (found,) = self.answer(question, lambda: (find(),))
        return cast(Tensor, found)

    def recall(self, question: Question) -> Answer | None:
        """The next answer, the caller's own to change, or None where it is not known.

        A safe point for what was kept before.
        """
        depth, place = len(self._places) - 1, self._places[-1]
        if place < len(self._levels[depth]):
            entry = self._levels[depth][place]
            if entry.signs == question.signs:
                self._places[-1] += 1
                _throw(entry.dice)
                to = question.device
                return tuple(t if t is None else t.to(to, copy=True) for t in entry.answer)
            self._levels[depth:] = [self._levels[depth][:place]]  # it goes another way this time
        if self._grown:
            self._grown = False
            self._checkpoints.save_if_due(self.state)
        return None

    def keep(self, question: Question, answer: Answer, dice: tuple[Tensor, ...] = ()) -> None:
        """Keep the answer to the question that was last recalled in vain."""
        # Copies, since the work may change its answers in place.
        copies = (t if t is None else t.detach().to("cpu", copy=True) for t in answer)
        level = self._levels[len(self._places) - 1]
        entry = _Entry(question.signs, tuple(copies), dice)
        # At once: without the answer its questions are still needed, with it they are not.
        self._levels[len(self._places) - 1 :] = [[*level, entry]]
        self._places[-1] += 1
        self._grown = True

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        if len(self._levels) == len(self._places):
            self._levels.append([])
        self._places.append(0)
        try:
            yield
        finally:
            self._places.pop()

    def within(self) -> Checkpoints:
        """Checkpoints of work that follows and keeps a state of its own, beside the answers."""
        return Within(self._checkpoints, self.state, self._found)

    def state(self) -> State:
        """All answers."""
        fixed: dict[str, Tensor] = {}
        levels = []
        for depth, level in enumerate(self._levels):
            levels.append([_described(entry) for entry in level])
            for place, entry in enumerate(level):
                tensors = enumerate((*entry.answer, *entry.dice))
                fixed |= {f"{depth}.{place}.{i}": t for i, t in tensors if t is not None}
        return State({}, {"levels": levels, "said": list(self.said)}, fixed)


def _described(entry: _Entry) -> list[object]:
    return [entry.signs, len(entry.answer), len(entry.dice)]


def _restored(state: State) -> tuple[list[list[_Entry]], list[str]]:
    levels: list[list[_Entry]] = []
    for depth, level in enumerate(state.values["levels"]):
        levels.append([])
        for place, (signs, answers, dice) in enumerate(level):
            tensors = [state.fixed.get(f"{depth}.{place}.{i}") for i in range(answers + dice)]
            fell = tuple(t for t in tensors[answers:] if t is not None)
            levels[-1].append(_Entry(signs, tuple(tensors[:answers]), fell))
    return levels, list(state.values["said"])


def _dice() -> tuple[Tensor, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return (torch.get_rng_state(), *cuda)


def _throw(dice: tuple[Tensor, ...]) -> None:
    """Set torch's global dice as they were, where they fell."""
    if dice:
        torch.set_rng_state(dice[0])
        if len(dice) > 1:
            torch.cuda.set_rng_state_all(list(dice[1:]))
