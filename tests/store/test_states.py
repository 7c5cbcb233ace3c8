"""States on disk: the latest whole one is gone on from; nothing damaged is, nor of other work."""

import pickle
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from robench.contracts import State
from robench.store import checkpoints as states
from robench.store.checkpoints import States

ABOUT = {"data": "a", "torch": "2"}


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "EVERY", 0.0)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def make(tmp_path: Path, said: list[str]) -> Callable[..., States]:
    def make(**about: str) -> States:
        return States(tmp_path / "work", {**ABOUT, **about}, said.append)

    return make


def state(number: int) -> State:
    return State({"x": torch.full((2,), float(number))}, {"number": number})


def files(folder: Path) -> list[Path]:
    return sorted((folder / "work").iterdir())


TENSORS = {
    "float64": torch.tensor(0.1, dtype=torch.float64),
    "bfloat16": torch.arange(6).to(torch.bfloat16).view(2, 3),
    "integers": torch.tensor([-(2**62), 2**62]),
    "truth": torch.tensor([True, False]),
    "dice": torch.Generator().manual_seed(1).get_state(),
    "empty": torch.zeros(0, 3),
    "odd": torch.tensor([torch.nan, -0.0, torch.inf]),
    "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "one pixel": torch.rand(4, 3, 1, 1).to(memory_format=torch.channels_last),
    "turned": torch.rand(3, 2).t(),
}
VALUES = {"losses": [0.1 + 0.2, 1e-300, float("nan")], "done": 7, "notes": [], "deep": {"a": None}}


def test_a_state_comes_back_bit_by_bit_and_as_it_lay_in_memory(make: Callable[..., States]) -> None:
    make().save_if_due(lambda: State(TENSORS, VALUES))
    found = make().load()
    assert found is not None
    assert str(found.values) == str(VALUES)
    assert found.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        again = found.tensors[name]
        assert (again.dtype, again.shape, again.stride()) == (
            tensor.dtype,
            tensor.shape,
            tensor.stride(),
        ), name
        assert (
            again.contiguous().numpy(force=True).tobytes()
            == tensor.contiguous().numpy(force=True).tobytes()
            if tensor.dtype != torch.bfloat16
            else torch.equal(again, tensor)
        ), name


def test_tensors_that_share_memory_are_kept(make: Callable[..., States]) -> None:
    x = torch.arange(4.0)
    make().save_if_due(lambda: State({"x": x, "again": x, "part": x[1:3]}, {}))
    found = make().load()
    assert found is not None
    assert found.tensors["part"].tolist() == [1.0, 2.0]


def test_the_two_latest_are_kept(make: Callable[..., States], tmp_path: Path) -> None:
    work = make()
    for number in range(5):
        work.save_if_due(lambda number=number: state(number))
    assert [path.name[:8] for path in files(tmp_path)] == ["00000004", "00000005"]
    found = make().load()
    assert found is not None
    assert found.values["number"] == 4
    work.clear()
    assert make().load() is None
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_was_begun_there_is_nothing(
    make: Callable[..., States], said: list[str]
) -> None:
    assert make().load() is None
    assert make().latest() is None
    assert said == []


@pytest.mark.parametrize("where", [0, 1, 9, 60, 200, 0.5, -1])
@pytest.mark.parametrize("bit", [0, 3, 7])
def test_one_bit_flipped_is_noticed_and_the_one_before_serves(
    make: Callable[..., States], tmp_path: Path, said: list[str], where: float, bit: int
) -> None:
    work = make()
    work.save_if_due(lambda: state(1))
    work.save_if_due(lambda: state(2))
    path = files(tmp_path)[-1]
    data = bytearray(path.read_bytes())
    data[int(where * len(data)) if where == 0.5 else int(where)] ^= 1 << bit
    path.write_bytes(data)
    found = make().load()
    assert found is not None
    assert found.values["number"] == 1
    assert f"{path} is damaged" in said[0]
    assert not path.exists()
    make().save_if_due(lambda: state(3))
    found = make().load()
    assert found is not None
    assert found.values["number"] == 3


def test_a_state_cut_short_anywhere_is_noticed(
    make: Callable[..., States], tmp_path: Path, said: list[str]
) -> None:
    make().save_if_due(lambda: state(1))
    path = files(tmp_path)[0]
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert make().load() is None, length
    assert len(said) == len(whole)
    path.write_bytes(whole)
    assert make().load() is not None


def test_two_damaged_ones_are_a_new_start(make: Callable[..., States], tmp_path: Path) -> None:
    work = make()
    for number in (1, 2):
        work.save_if_due(lambda number=number: state(number))
    for path in files(tmp_path):
        path.write_bytes(b"")
    assert make().load() is None


class Trap:
    """Writes a file if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_is_not_executed(make: Callable[..., States], tmp_path: Path) -> None:
    import hashlib

    sprung = tmp_path / "sprung"
    data = pickle.dumps(Trap(sprung))
    (tmp_path / "work").mkdir()
    name = f"00000001-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"  # as one who means it
    (tmp_path / "work" / name).write_bytes(data)
    assert make().load() is None
    assert not sprung.exists()
    pickle.loads(data)
    assert sprung.exists()  # the trap works


def test_a_state_of_other_work_is_not_gone_on_from(
    make: Callable[..., States], said: list[str]
) -> None:
    make().save_if_due(lambda: state(1))
    assert make(data="b").load() is None
    assert "has another data than now; starting anew" in said[0]
    make(data="b").save_if_due(lambda: state(2))
    found = make(data="b").load()
    assert found is not None
    assert found.values["number"] == 2


def test_what_a_killed_writer_left_is_swept_away(
    make: Callable[..., States], tmp_path: Path
) -> None:
    make().save_if_due(lambda: state(1))
    (tmp_path / "work" / ".00000002-0123456789abcdef.safetensors.1234abcd").write_bytes(b"torn")
    assert make().load() is not None
    assert len(files(tmp_path)) == 1


def test_time_counts_from_before_the_interruption(
    make: Callable[..., States], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    work = make()
    now = 107.0
    work.save_if_due(lambda: state(1))
    again = make()
    again.load()
    now = 109.0
    assert again.seconds == 9.0


def test_states_are_kept_when_it_is_time_whatever_the_clock_says(
    make: Callable[..., States], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    make: Callable[..., States], tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = make()
    work.save_if_due(lambda: state(1))
    before = files(tmp_path)

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for number in (2, 3):
        work.save_if_due(lambda number=number: state(number))
    assert files(tmp_path) == before
    assert len(said) == 1
    assert "No space left on device; going on" in said[0]
    monkeypatch.undo()
    found = make().load()
    assert found is not None
    assert found.values["number"] == 1


# --- what stays the same


def grown(tensors: dict[str, torch.Tensor], number: int) -> State:
    return State({"x": torch.full((2,), float(number))}, {"number": number}, tensors)


def test_what_stays_the_same_is_written_once_and_found_again(
    make: Callable[..., States], tmp_path: Path
) -> None:
    work, large = make(), torch.rand(1000)
    tensors = {"0": large.t(), "shown": large[:3]}
    work.save_if_due(lambda: grown(tensors, 0))
    for number in range(1, 5):
        tensors = {**tensors, f"{number}": torch.full((3,), float(number))}
        work.save_if_due(lambda number=number, tensors=tensors: grown(tensors, number))
        if number == 2:  # another process goes on
            work = make()
            found = work.load()
            assert found is not None
            tensors = dict(found.fixed)
    assert [path.name[:8] for path in files(tmp_path)] == [f"0000000{i}" for i in range(1, 6)]
    assert [path.stat().st_size > 4000 for path in files(tmp_path)] == [True] + 4 * [False]
    found = make().load()
    assert found is not None
    assert (found.values, found.tensors["x"].tolist()) == ({"number": 4}, [4, 4])
    assert found.fixed.keys() == tensors.keys()
    assert all(torch.equal(found.fixed[name], tensor) for name, tensor in tensors.items())


def test_another_tensor_under_the_same_name_is_written(make: Callable[..., States]) -> None:
    work = make()
    for number in range(3):
        work.save_if_due(lambda number=number: grown({"a": torch.tensor(number)}, number))
    found = make().load()
    assert found is not None
    assert found.fixed["a"] == 2


def test_files_that_nothing_is_needed_of_go(make: Callable[..., States], tmp_path: Path) -> None:
    work, small = make(), torch.ones(1)
    work.save_if_due(lambda: grown({"small": small, "large": torch.rand(2**20)}, 0))
    for number in range(1, 4):
        work.save_if_due(lambda number=number: grown({"small": small}, number))
    assert [path.name[:8] for path in files(tmp_path)] == ["00000002", "00000003", "00000004"]
    assert sum(path.stat().st_size for path in files(tmp_path)) < 2**12
    found = make().load()
    assert found is not None
    assert found.fixed["small"] == 1


@pytest.mark.parametrize("how", ["damaged", "lost"])
def test_a_state_whose_older_file_is_gone_is_not_gone_on_from(
    make: Callable[..., States], tmp_path: Path, said: list[str], how: str
) -> None:
    work, large = make(), torch.rand(100)
    for number in range(3):
        work.save_if_due(lambda number=number: grown({"a": large}, number))
    first, *_ = files(tmp_path)
    if how == "lost":
        first.unlink()
    else:
        first.write_bytes(first.read_bytes()[:-1])
    assert make().load() is None
    assert all("is damaged" in line for line in said)
    make().save_if_due(lambda: grown({"a": large}, 3))
    found = make().load()
    assert found is not None
    assert torch.equal(found.fixed["a"], large)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "secret", "..", "a/b"])
def test_a_state_leads_to_no_other_file(
    make: Callable[..., States], tmp_path: Path, said: list[str], name: str
) -> None:
    import hashlib

    header = {"about": ABOUT, "seconds": 1.0}
    tensors = {"a": torch.ones(1)}
    data = states._encoded(State({}, {}, tensors), header, {"a": name})
    (tmp_path / "work").mkdir()
    file = f"00000001-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    (tmp_path / "work" / file).write_bytes(data)
    assert make().load() is None
    assert "is damaged" in said[0]


def test_two_tensors_of_one_name_are_refused(make: Callable[..., States]) -> None:
    with pytest.raises(ValueError, match="another one's name"):
        make().save_if_due(lambda: State({"a": torch.ones(1)}, {}, {"a": torch.ones(1)}))
