"""Checkpoints: the newest valid one is loaded; nothing damaged is, nor of other work."""

import time
from pathlib import Path

import pytest
import torch

from robench.contracts import State
from robench.store import checkpoints as states
from robench.store.checkpoints import FileCheckpoints

ABOUT = {"data": "a", "torch": "2"}


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "EVERY", 0.0)


class Work:
    """Checkpoints in a folder, each time of a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, list[str]()

    def open(self, **about: str) -> FileCheckpoints:
        return FileCheckpoints(self.folder, {**ABOUT, **about}, self.said.append)

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work")


def state(number: int) -> State:
    return State({"x": torch.full((2,), float(number))}, {"number": number})


def save(checkpoints: FileCheckpoints, *numbers: int) -> None:
    for number in numbers:
        checkpoints.save_if_due(lambda number=number: state(number))


def loaded(checkpoints: FileCheckpoints) -> int | None:
    found = checkpoints.load()
    return None if found is None else found.values["number"]


TENSORS = {
    "float64": torch.tensor(0.1, dtype=torch.float64),
    "bfloat16": torch.arange(6).to(torch.bfloat16).view(2, 3),
    "integers": torch.tensor([-(2**62), 2**62]),
    "truth": torch.tensor([True, False]),
    "generator": torch.Generator().manual_seed(1).get_state(),
    "empty": torch.zeros(0, 3),
    "odd": torch.tensor([torch.nan, -0.0, torch.inf]),
    "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "one pixel": torch.rand(4, 3, 1, 1).to(memory_format=torch.channels_last),
    "turned": torch.rand(3, 2).t(),
}
TENSORS["shared"] = TENSORS["integers"][:1]
VALUES = {"losses": [0.1 + 0.2, 1e-300, float("nan")], "done": 7, "notes": [], "deep": {"a": None}}


def test_a_state_comes_back_bit_by_bit_and_as_it_lay_in_memory(work: Work) -> None:
    work.open().save_if_due(lambda: State(TENSORS, VALUES))
    found = work.open().load()
    assert found is not None
    assert str(found.values) == str(VALUES)
    assert found.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        again = found.tensors[name]
        assert again.dtype == tensor.dtype, name
        assert (again.shape, again.stride()) == (tensor.shape, tensor.stride()), name
        assert again.contiguous().view(-1).view(torch.uint8).tolist() == bits(tensor), name


def bits(tensor: torch.Tensor) -> list[int]:
    return tensor.contiguous().view(-1).view(torch.uint8).tolist()


def test_the_two_latest_are_kept(work: Work) -> None:
    save(work.open(), 0, 1, 2, 3, 4)
    assert [path.name[:8] for path in work.files()] == ["00000004", "00000005"]
    assert loaded(work.open()) == 4
    work.open().clear()
    assert loaded(work.open()) is None
    assert work.open().latest() is None
    assert not work.folder.exists()


@pytest.mark.parametrize("where", [0, 9, 200, -1])
def test_one_bit_flipped_is_noticed_and_the_one_before_serves(work: Work, where: int) -> None:
    save(work.open(), 1, 2)
    path = work.files()[-1]
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    assert loaded(work.open()) == 1
    assert f"{path} is damaged" in work.said[0]
    assert not path.exists()
    save(work.open(), 3)
    assert loaded(work.open()) == 3


def test_a_state_cut_short_anywhere_is_noticed(work: Work) -> None:
    save(work.open(), 1)
    path = work.files()[0]
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert loaded(work.open()) is None, length
    assert len(work.said) == len(range(0, len(whole), 7))
    path.write_bytes(whole)
    assert loaded(work.open()) == 1


def test_a_state_of_other_work_is_not_used(work: Work) -> None:
    save(work.open(), 1)
    assert loaded(work.open(data="b")) is None
    assert "has another data than now; starting anew" in work.said[0]
    save(work.open(data="b"), 2)
    assert loaded(work.open(data="b")) == 2


def test_time_counts_from_before_the_interruption(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    first = work.open()
    now = 107.0
    save(first, 1)
    again = work.open()
    again.load()
    now = 109.0
    assert again.seconds == 9.0


def test_states_are_saved_when_due_whatever_the_clock_says(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "EVERY", 30.0)
    moments = [(0, 5e9), (10, 0), (29, 2e9), (31, -5), (60, 1e12), (62, 1), (91, 1), (92, 1)]
    at = 0
    monkeypatch.setattr(time, "monotonic", lambda: float(moments[at][0]))
    monkeypatch.setattr(time, "time", lambda: float(moments[at][1]))
    checkpoints, kept = work.open(), []

    def keep() -> State:
        kept.append(moments[at][0])
        return state(at)

    for at in range(len(moments)):  # noqa: B007
        checkpoints.save_if_due(keep)
    assert kept == [31, 62, 92]


def test_a_full_disk_costs_the_state_and_not_the_work(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = work.open()
    save(checkpoints, 1)
    before = work.files()

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    save(checkpoints, 2, 3)
    assert work.files() == before
    assert len(set(work.said)) == 1
    assert "No space left on device; going on" in work.said[0]
    monkeypatch.undo()
    assert loaded(work.open()) == 1
