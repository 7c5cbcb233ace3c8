"""A run killed at any moment ends, by the same command, in the bits of one that was left alone.

Each test takes half a minute: a process needs seconds to start, and the runs have to be real.
"""

import random
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from killed import GRID, end_state, leftovers, run, start

KILLS = 30


class Alone(NamedTuple):
    """The end of a run that was left alone, and how long it took."""

    state: dict[str, str]
    seconds: float


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    folder = tmp_path_factory.mktemp("alone")
    ended = run(folder, *GRID)
    assert ended.err == ""
    assert leftovers(folder) == []
    return Alone(end_state(folder), ended.seconds)


def kill_after(folder: Path, seconds: float) -> bool:
    """Start the run and kill it after so long; whether it was still going."""
    process = start(folder, *GRID)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode == -signal.SIGKILL


def assert_it_ends_the_same(folder: Path, alone: Alone) -> str:
    """Run to the end; what it said on the way."""
    ended = run(folder, *GRID)
    assert "damaged" not in ended.err
    assert end_state(folder) == alone.state
    assert leftovers(folder) == []
    return ended.err


def test_a_run_killed_four_times_ends_in_the_same_bits(tmp_path: Path, alone: Alone) -> None:
    dice = random.Random(0)
    hits = [kill_after(tmp_path, alone.seconds * dice.uniform(0.1, 0.3)) for _ in range(4)]
    assert sum(hits) >= 3
    assert_it_ends_the_same(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_killed_at_a_random_moment_ends_in_the_same_bits(
    tmp_path: Path, alone: Alone, number: int
) -> None:
    seconds = alone.seconds * (number + random.Random(number).random()) / KILLS
    hit = kill_after(tmp_path, seconds)
    begun = [path.name for path in tmp_path.rglob("*.safetensors") if "-" in path.name[8:9]]
    began = time.monotonic()
    said = assert_it_ends_the_same(tmp_path, alone)
    print(
        f"killed after {seconds:.1f} of {alone.seconds:.1f} s: hit {hit}, states {len(begun)}, "
        f"gone on from {said.count('going on from')}, ended in {time.monotonic() - began:.1f} s"
    )


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "stopped"), (signal.SIGINT, 130, "interrupted")],
    ids=["SIGTERM", "SIGINT"],
)
def test_a_run_that_is_told_to_stop_keeps_what_it_has(
    tmp_path: Path, number: int, code: int, word: str
) -> None:
    """With half a minute between two states, so that the only one is the one of the signal."""
    long = [*GRID]
    long[long.index("--epochs") + 1] = "5000"
    process = start(tmp_path, *long, every=30)
    time.sleep(3)
    process.send_signal(number)
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert process.returncode == code
    assert err.strip() == f"robench: {word}; the same command goes on from here"
    assert out == ""
    assert len(list(tmp_path.glob("zoo/*/training/00000001-*.safetensors"))) == 1
    assert not list(tmp_path.rglob("*.lease"))
