"""One process at a time; a lock whose process was killed is free."""

import multiprocessing
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from robench.store.locks import Busy, lock


def test_a_lock_is_held_until_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "below" / "work.lock"
    with lock(path), pytest.raises(Busy, match="another process"):
        lock(path)
    with lock(path):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "work.lock"
    script = f"""
import pathlib, time
from robench.store.locks import lock
with lock(pathlib.Path({str(path)!r})):
    print("held", flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(Busy):
        lock(path)
    process.kill()
    process.communicate()
    with lock(path):
        pass


def contend(path: Path, log: Path) -> None:
    """Take the lock 25 times, and write down when it was held."""
    rounds = 25
    while rounds:
        try:
            held = lock(path)
        except Busy:
            continue
        with held, log.open("a") as file:
            start = time.monotonic_ns()
            time.sleep(0.001)
            file.write(f"{start} {time.monotonic_ns()}\n")
        rounds -= 1


def test_three_processes_never_hold_it_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    several = [context.Process(target=contend, args=(tmp_path / "lock", log)) for log in logs]
    for one in several:
        one.start()
    for one in several:
        one.join(60)
        assert one.exitcode == 0
    lines = [line for log in logs for line in log.read_text().splitlines()]
    held = sorted(tuple(map(int, line.split())) for line in lines)
    assert len(held) == 3 * 25
    assert all(end <= start for (_, end), (start, _) in pairwise(held))
