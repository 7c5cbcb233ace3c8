"""Work that is done again gets the answers it had, in the order it asked, and nobody else's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from robench.contracts import NO_CHECKPOINTS, Checkpoints, State
from robench.journal import Journal, Question


class Memory:
    """Checkpoints that keep every state; ``found`` is gone on from."""

    def __init__(self, found: State | None = None) -> None:
        self.found, self.kept = found, list[State]()

    def load(self) -> State | None:
        return self.found

    def save_if_due(self, state: Callable[[], State]) -> None:
        self.kept.append(state())


class Work:
    """Three questions about a draw; each asks two of its own, and counts what is computed."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.journal, self.computed = Journal(checkpoints), list[str]()

    def ask(self, name: str, x: Tensor, find: Callable[[], Tensor]) -> Tensor:
        def found() -> tuple[Tensor | None, ...]:
            answer = find()
            self.computed.append(name)
            return answer, None

        answer, nothing = self.journal.answer(Question(x), found)
        assert nothing is None
        assert answer is not None
        return answer

    def do(self) -> Tensor:
        torch.manual_seed(5)
        total = torch.zeros(3)
        for i in range(3):
            total += self.ask(f"{i}", total, lambda i=i: self.part(i))
            total += torch.rand(3)
        return total

    def part(self, i: int) -> Tensor:
        x = torch.rand(3)
        for j in range(2):
            x += self.ask(f"{i}{j}", x, lambda j=j, x=x: torch.rand(3) + x * j)
        return x


@pytest.fixture(autouse=True)
def dice() -> None:
    torch.manual_seed(0)


def test_work_that_goes_on_anywhere_ends_in_the_same_bits() -> None:
    whole = Work(NO_CHECKPOINTS)
    expected = whole.do()
    assert whole.computed == ["00", "01", "0", "10", "11", "1", "20", "21", "2"]
    memory = Memory()
    Work(memory).do()
    assert len(memory.kept) == 5
    for count, state in zip([1, 3, 4, 6, 7], memory.kept, strict=True):  # before each question
        again = Work(Memory(state))
        assert torch.equal(again.do(), expected)
        assert again.computed == whole.computed[count:]


def test_an_answer_stands_for_what_was_asked_on_the_way() -> None:
    memory = Memory()
    Work(memory).do()
    sizes = [[len(level) for level in state.values["levels"]] for state in memory.kept]
    assert sizes == [[0, 1], [1], [1, 1], [2], [2, 1]]


def test_a_state_taken_at_any_time_is_whole() -> None:
    expected = Work(NO_CHECKPOINTS).do()
    work, taken = Work(NO_CHECKPOINTS), list[State]()
    ask = work.ask

    def asking(name: str, x: Tensor, find: Callable[[], Tensor]) -> Tensor:
        def found() -> Tensor:
            taken.append(work.journal.state())
            answer = find()
            taken.append(work.journal.state())
            return answer

        return ask(name, x, found)

    work.ask = asking  # type: ignore[method-assign]
    work.do()
    assert len(taken) == 18
    for state in taken:
        assert torch.equal(Work(Memory(state)).do(), expected)


def test_another_question_gets_an_answer_of_its_own() -> None:
    memory = Memory()
    Work(memory).do()
    journal = Journal(Memory(memory.kept[-1]))
    (answer,) = journal.answer(Question(torch.ones(3)), lambda: (torch.full((1,), 7.0),))
    assert answer is not None
    assert answer.item() == 7
    assert [len(level) for level in journal.state().values["levels"]] == [1]


def test_the_order_counts_where_questions_are_alike() -> None:
    x = torch.ones(2)
    for journal in (Journal(NO_CHECKPOINTS), Journal(NO_CHECKPOINTS)):
        found = [journal.answer(Question(x), lambda i=i: (x * i,))[0] for i in range(3)]
        assert [answer.tolist() for answer in found] == [[0, 0], [1, 1], [2, 2]]
    journal = Journal(Memory(journal.state()))
    found = [journal.answer(Question(x), lambda: (x,))[0] for i in range(4)]
    assert [answer.tolist() for answer in found] == [[0, 0], [1, 1], [2, 2], [1, 1]]


def test_an_answer_may_be_changed_in_place() -> None:
    memory = Memory()
    x = torch.ones(2)
    for _ in range(3):
        journal = Journal(memory)
        (answer,) = journal.answer(Question(x), lambda: (torch.zeros(2),))
        assert answer is not None
        answer += 1
        assert answer.tolist() == [1, 1]
        memory.found = journal.state()


def test_what_was_said_is_there_again() -> None:
    memory = Memory()
    journal = Journal(memory)
    journal.said.append("first")
    journal.answer(Question(torch.ones(1)), lambda: (None,))
    state = journal.state()
    journal.said.append("later")
    assert Journal(Memory(state)).said == ["first"]


def test_work_within_keeps_the_answers_with_its_own_state() -> None:
    memory = Memory()
    journal = Journal(memory)
    x = torch.ones(1)
    journal.answer(Question(x), lambda: (x + 1,))
    within = journal.within()
    assert within.load() is None
    within.save_if_due(lambda: State({"weights": x}, {"done": 3}))
    (state,) = memory.kept
    again = Journal(Memory(state))
    (answer,) = again.answer(Question(x), lambda: (x,))
    found = again.within().load()
    assert found is not None
    assert (answer, found.values, found.tensors) == (2, {"done": 3}, {"weights": 1})
