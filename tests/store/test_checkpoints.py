"""Checkpoints: the newest valid one is loaded; nothing damaged is, nor of other work."""

import time
from collections.abc import Callable
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


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def make(tmp_path: Path, said: list[str]) -> Callable[..., FileCheckpoints]:
    def make(**about: str) -> FileCheckpoints:
        return FileCheckpoints(tmp_path / "work", {**ABOUT, **about}, said.append)

    return make


def state(number: int) -> State:
    return State({"x": torch.full((2,), float(number))}, {"number": number})


def save(work: FileCheckpoints, *numbers: int) -> None:
    for number in numbers:
        work.save_if_due(lambda number=number: state(number))


def loaded(work: FileCheckpoints) -> int | None:
    found = work.load()
    return None if found is None else found.values["number"]


def files(folder: Path) -> list[Path]:
    return sorted((folder / "work").iterdir())


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


def test_a_state_comes_back_bit_by_bit_and_as_it_lay_in_memory(
    make: Callable[..., FileCheckpoints],
) -> None:
    make().save_if_due(lambda: State(TENSORS, VALUES))
    found = make().load()
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


def test_the_two_latest_are_kept(make: Callable[..., FileCheckpoints], tmp_path: Path) -> None:
    work = make()
    save(work, 0, 1, 2, 3, 4)
    assert [path.name[:8] for path in files(tmp_path)] == ["00000004", "00000005"]
    assert loaded(make()) == 4
    work.clear()
    assert loaded(make()) is None
    assert make().latest() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", [0, 9, 200, -1])
def test_one_bit_flipped_is_noticed_and_the_one_before_serves(
    make: Callable[..., FileCheckpoints], tmp_path: Path, said: list[str], where: int
) -> None:
    save(make(), 1, 2)
    path = files(tmp_path)[-1]
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    assert loaded(make()) == 1
    assert f"{path} is damaged" in said[0]
    assert not path.exists()
    save(make(), 3)
    assert loaded(make()) == 3


def test_a_state_cut_short_anywhere_is_noticed(
    make: Callable[..., FileCheckpoints], tmp_path: Path, said: list[str]
) -> None:
    save(make(), 1)
    path = files(tmp_path)[0]
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert loaded(make()) is None, length
    assert len(said) == len(range(0, len(whole), 7))
    path.write_bytes(whole)
    assert loaded(make()) == 1


def test_a_state_of_other_work_is_not_gone_on_from(
    make: Callable[..., FileCheckpoints], said: list[str]
) -> None:
    save(make(), 1)
    assert loaded(make(data="b")) is None
    assert "has another data than now; starting anew" in said[0]
    save(make(data="b"), 2)
    assert loaded(make(data="b")) == 2


def test_time_counts_from_before_the_interruption(
    make: Callable[..., FileCheckpoints], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    work = make()
    now = 107.0
    save(work, 1)
    again = make()
    again.load()
    now = 109.0
    assert again.seconds == 9.0


def test_states_are_kept_when_it_is_time_whatever_the_clock_says(
    make: Callable[..., FileCheckpoints], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "EVERY", 30.0)
    moments = [(0, 5e9), (10, 0), (29, 2e9), (31, -5), (60, 1e12), (62, 1), (91, 1), (92, 1)]
    at = 0
    monkeypatch.setattr(time, "monotonic", lambda: float(moments[at][0]))
    monkeypatch.setattr(time, "time", lambda: float(moments[at][1]))
    work, kept = make(), []

    def keep() -> State:
        kept.append(moments[at][0])
        return state(at)

    for at in range(len(moments)):  # noqa: B007
        work.save_if_due(keep)
    assert kept == [31, 62, 92]


def test_a_full_disk_costs_the_state_and_not_the_work(
    make: Callable[..., FileCheckpoints],
    tmp_path: Path,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = make()
    save(work, 1)
    before = files(tmp_path)

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    save(work, 2, 3)
    assert files(tmp_path) == before
    assert len(said) == 1
    assert "No space left on device; going on" in said[0]
    monkeypatch.undo()
    assert loaded(make()) == 1
