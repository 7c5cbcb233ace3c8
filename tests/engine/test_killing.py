"""A run killed at any moment ends, by the same command, in the bits of one that was left alone.

Each test takes half a minute: a process needs seconds to start, and the runs have to be real.
"""

import random
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from killed import (
    GRID,
    LONG_BATCH,
    LONG_PROBE,
    end_state,
    kill_after,
    leftovers,
    run,
    spent,
    start,
)

from robench.store.locks import lock

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="what a process has worked is read from /proc"
)
KILLS, RUNS = 4, 8
"""Kills in one run after another, and runs in all; one run is part of every test run."""


class Alone(NamedTuple):
    """The end of a run that was left alone, and the processor's seconds that it took."""

    state: dict[str, str]
    seconds: float


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    folder = tmp_path_factory.mktemp("alone")
    ended = run(folder, *GRID)
    assert ended.err == ""
    assert leftovers(folder) == []
    return Alone(end_state(folder), ended.seconds)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, RUNS))]
)
def test_a_run_killed_four_times_ends_in_the_same_bits(
    tmp_path: Path, alone: Alone, seed: int
) -> None:
    moment = random.Random(seed)
    moments = [alone.seconds * moment.uniform(0.15, 0.36) for _ in range(KILLS)]
    hits, said = zip(*(kill_after(tmp_path, seconds, *GRID) for seconds in moments), strict=True)
    assert sum(hits) >= KILLS - 1
    ended = run(tmp_path, *GRID)
    assert "damaged" not in "".join([*said, ended.err])
    assert end_state(tmp_path) == alone.state
    assert leftovers(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [LONG_BATCH, LONG_PROBE], ids=["autoattack", "probe"])
def test_long_work_killed_within_ends_in_the_same_bits(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Each process is killed after a fifth of the work."""
    alone, killed = run(tmp_path / "alone", *words, every=0.5), tmp_path / "killed"
    each = alone.seconds / 5
    ends = [kill_after(killed, each, *words, every=0.5) for _ in range(KILLS)]
    assert sum(hit for hit, _ in ends) >= KILLS - 1
    assert sum("/unfinished/" in said for _, said in ends) >= KILLS // 2
    run(killed, *words, every=0.5)
    assert end_state(killed) == end_state(tmp_path / "alone")
    assert leftovers(killed) == []


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "stopped"), (signal.SIGINT, 130, "interrupted")],
    ids=["SIGTERM", "SIGINT"],
)
def test_a_run_that_is_asked_to_stop_keeps_what_it_has(
    tmp_path: Path, number: int, code: int, word: str
) -> None:
    """With an hour between two states, so that the only one is the one of the signal."""
    long = [*GRID]
    long[long.index("--epochs") + 1] = "5000"
    process = start(tmp_path, *long, every=3600)
    while not list(tmp_path.glob("zoo/.locks/*.lock")):
        assert process.poll() is None
        time.sleep(0.05)
    begun = spent(process)
    while spent(process) - begun < 1.5:  # it trains
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert err.strip() == f"robench: {word}; the same command goes on from here"
    assert out.startswith("Schedule of ")
    assert out.count("\n") == 2  # and the plan
    assert len(list(tmp_path.glob("zoo/unfinished/*/00000001-*.safetensors"))) == 1
    for path in tmp_path.rglob("*.lock"):
        with lock(path):  # free
            pass
