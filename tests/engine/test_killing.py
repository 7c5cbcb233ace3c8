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
    dice = random.Random(seed)
    moments = [alone.seconds * dice.uniform(0.15, 0.36) for _ in range(KILLS)]
    hits, said = zip(*(kill_after(tmp_path, seconds, *GRID) for seconds in moments), strict=True)
    assert sum(hits) >= KILLS - 1
    ended = run(tmp_path, *GRID)
    told = "".join([*said, ended.err])
    assert "damaged" not in told
    assert end_state(tmp_path) == alone.state
    assert leftovers(tmp_path) == []
    print(f"{sum(hits)} kills, {told.count('going on from')} states gone on from")


@pytest.mark.slow
def test_autoattack_killed_within_its_only_batch_ends_in_the_same_bits(tmp_path: Path) -> None:
    """Ten images that withstand it for long; each process is killed after a fifth of the work."""
    alone = run(tmp_path / "alone", *LONG_BATCH, every=0.5)
    killed = tmp_path / "killed"
    hits, said = zip(
        *(kill_after(killed, alone.seconds / 5, *LONG_BATCH, every=0.5) for _ in range(KILLS)),
        strict=True,
    )
    assert sum(hits) >= KILLS - 1
    resumed = sum("/unfinished/" in told for told in said)
    assert resumed >= KILLS // 2
    print(f"{sum(hits)} kills, {resumed} states gone on from within")
    run(killed, *LONG_BATCH, every=0.5)
    assert end_state(killed) == end_state(tmp_path / "alone")
    assert leftovers(killed) == []


@pytest.mark.slow
def test_a_probe_killed_as_it_trains_ends_in_the_same_bits(tmp_path: Path) -> None:
    alone = run(tmp_path / "alone", *LONG_PROBE, every=0.5)
    killed = tmp_path / "killed"
    hits, said = zip(
        *(kill_after(killed, alone.seconds / 4, *LONG_PROBE, every=0.5) for _ in range(KILLS)),
        strict=True,
    )
    assert sum(hits) >= KILLS - 1
    resumed = sum("zoo/unfinished/" in told for told in said)
    assert resumed >= KILLS // 2
    print(f"{sum(hits)} kills, {resumed} states gone on from within")
    run(killed, *LONG_PROBE, every=0.5)
    assert end_state(killed) == end_state(tmp_path / "alone")
    assert leftovers(killed) == []


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "stopped"), (signal.SIGINT, 130, "interrupted")],
    ids=["SIGTERM", "SIGINT"],
)
def test_a_run_that_is_told_to_stop_keeps_what_it_has(
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
    assert out.count("\n") == 1
    assert len(list(tmp_path.glob("zoo/unfinished/*/00000001-*.safetensors"))) == 1
    for path in tmp_path.rglob("*.lock"):
        with lock(path):  # free
            pass
