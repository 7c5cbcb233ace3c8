"""One process at a time; a dead one's lease is taken over, a live one's never."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from robench.store import locks as leases
from robench.store.locks import Busy, Lease, Leases


class Clock:
    """A monotonic clock to turn by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(leases.time, "monotonic", clock)
    yield clock
    monkeypatch.undo()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "below" / "work.lease"


def foreign(path: Path, content: str = "", **other: object) -> None:
    """A lease of another machine."""
    owner = {"token": "abc", "host": "elsewhere", "pid": 1, "machine": "elsewhere boot", **other}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content or f"{json.dumps(owner)}\n000000000000\n")


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def test_one_at_a_time(path: Path) -> None:
    with Leases().take(path):
        for ask in (Leases().take, Leases().check):
            with pytest.raises(Busy, match=f"process {os.getpid()} on "):
                ask(path)
        assert names(path) == ["work.lease"]
    assert names(path) == []
    Leases().check(path)
    with Leases().take(path):
        pass


def test_a_lease_ends_with_its_block_whatever_happens(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Leases().take(path):
        raise KeyboardInterrupt
    assert names(path) == []


def test_leases_of_other_work_are_others(path: Path) -> None:
    with Leases().take(path), Leases().take(path.with_name("other.lease")):
        assert names(path) == ["other.lease", "work.lease"]


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        Leases().take(tmp_path / "file" / "work.lease")


def dead(path: Path) -> None:
    """A lease of a process of this machine that was killed."""
    script = "import os, sys, pathlib; from robench.store.locks import Leases; \
Leases().take(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(path)], timeout=60, check=False)
    assert path.exists()


def test_a_killed_process_s_lease_is_taken_over_at_once(path: Path) -> None:
    dead(path)
    with Leases().take(path):
        assert len(names(path)) == 2
        with pytest.raises(Busy, match=f"process {os.getpid()} "):
            Leases().take(path)
    assert names(path) == []


def test_a_stale_lease_of_another_machine_is_taken_over(path: Path, clock: Clock) -> None:
    foreign(path)
    ours = Leases()
    with pytest.raises(Busy, match="process 1 on elsewhere"):
        ours.take(path)
    clock.now += leases.PATIENCE - 1
    with pytest.raises(Busy):
        ours.take(path)
    with pytest.raises(Busy):
        Leases().take(path)  # who has only just come has seen nothing yet
    clock.now += 1
    with ours.take(path):
        assert names(path) == ["work.lease", "work.lease.1.abc"]
    assert names(path) == []


def test_a_live_lease_of_another_machine_is_never_taken(path: Path, clock: Clock) -> None:
    ours = Leases()
    for beat in range(100):
        foreign(path, json.dumps({"token": "abc", "pid": 1}) + f"\n{beat:012}\n")
        os.utime(path, (0, 0))  # times of files are of no account: clocks differ
        with pytest.raises(Busy):
            ours.take(path)
        clock.now += leases.PATIENCE - 1
    clock.now += 1
    with ours.take(path):
        pass


def test_a_process_with_a_dead_one_s_number_elsewhere_is_not_taken_for_it(
    path: Path, clock: Clock
) -> None:
    foreign(path, pid=2**22 + 1)  # no process of this machine, and so what
    with pytest.raises(Busy):
        Leases().take(path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"token": "../x", "pid": 1}\n', "\0" * 99])
def test_a_torn_lease_is_waited_for_and_taken_over(path: Path, clock: Clock, content: str) -> None:
    foreign(path, content or " ")
    path.write_text(content)
    ours = Leases()
    with pytest.raises(Busy):
        ours.take(path)
    clock.now += leases.PATIENCE
    with ours.take(path):
        assert len(names(path)) == 2
    assert names(path) == []


def test_whoever_took_over_can_die_too(path: Path, clock: Clock) -> None:
    foreign(path)
    foreign(path.with_name("work.lease.1.abc"), token="def")
    ours = Leases()
    with pytest.raises(Busy):
        ours.take(path)
    clock.now += leases.PATIENCE
    with ours.take(path):
        assert names(path) == ["work.lease", "work.lease.1.abc", "work.lease.2.def"]
    assert names(path) == []


def test_of_two_that_see_it_abandoned_one_takes_it(path: Path, clock: Clock) -> None:
    foreign(path)
    several = [Leases() for _ in range(3)]
    for one in several:
        with pytest.raises(Busy):
            one.take(path)
    clock.now += leases.PATIENCE
    with several[0].take(path):
        for one in several[1:]:
            with pytest.raises(Busy):
                one.take(path)


def test_who_looked_long_ago_takes_nothing_away(path: Path, clock: Clock) -> None:
    """What was abandoned is taken over, used, freed and taken afresh between look and claim."""
    foreign(path)
    slow, quick = Leases(), Leases()
    for one in (slow, quick):
        with pytest.raises(Busy):
            one.take(path)
    clock.now += leases.PATIENCE
    look = slow._busy_unless_free

    def meanwhile(path: Path) -> list[tuple[Path, bytes]]:
        seen = look(path)
        quick.take(path).release()
        fresh.append(quick.take(path))
        return seen

    fresh: list[Lease] = []
    slow._busy_unless_free = meanwhile  # type: ignore[method-assign]
    with pytest.raises(Busy):
        slow.take(path)
    assert names(path) == ["work.lease"]
    fresh[0].release()
    assert names(path) == []


def test_an_owner_that_was_taken_for_dead_leaves_the_new_one_alone(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeping = Leases().take(path)
    monkeypatch.setattr(leases, "_machine", lambda: "another")
    ours = Leases()
    with pytest.raises(Busy):
        ours.take(path)
    clock.now += leases.PATIENCE
    new = ours.take(path)
    sleeping.release()
    assert len(names(path)) == 2
    with pytest.raises(Busy):
        Leases().take(path)
    new.release()
    assert names(path) == []


def test_a_lease_shows_signs_of_life(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.01)
    with Leases().take(path):
        first = path.read_bytes()
        deadline = time.monotonic() + 10
        while path.read_bytes() == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        owner, count, end = path.read_bytes().split(b"\n")
        assert json.loads(owner)["pid"] == os.getpid()
        assert int(count) > 0
        assert end == b""


def contend(path: Path, rounds: int, log: Path) -> None:
    """Take the lease ``rounds`` times and write down when it was held."""
    ours = Leases()
    with log.open("a") as file:
        while rounds:
            try:
                lease = ours.take(path)
            except Busy:
                continue
            with lease:
                start = time.monotonic_ns()
                time.sleep(0.001)
                file.write(f"{start} {time.monotonic_ns()}\n")
            rounds -= 1


def test_four_processes_never_hold_it_at_once(path: Path, tmp_path: Path) -> None:
    dead(path)  # all four find it abandoned
    context = multiprocessing.get_context("spawn")
    logs = [tmp_path / f"{number}.log" for number in range(4)]
    several = [context.Process(target=contend, args=(path, 25, log)) for log in logs]
    for one in several:
        one.start()
    for one in several:
        one.join(60)
        assert one.exitcode == 0
    held = sorted(
        tuple(map(int, line.split())) for log in logs for line in log.read_text().splitlines()
    )
    assert len(held) == 4 * 25
    assert all(end <= start for (_, end), (start, _) in pairwise(held))
    assert names(path) == []
