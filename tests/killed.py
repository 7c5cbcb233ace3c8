"""Work that is killed: at a safe point in this process, or a whole run in its own."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from commands import PLUGINS

from robench.contracts import Accept, State, any_state
from robench.store.checkpoints import FileCheckpoints

A = TypeVar("A")

DRIVER = """
import signal
import sys
from dataclasses import replace
from unittest import mock
import torch
from robench.store import checkpoints as states
from robench.cli import main
from robench.presets import quick

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
torch.set_num_threads(1)
states.EVERY = float(sys.argv.pop(1))
quick.preset = replace(quick.preset, batch=10)
print("ready", flush=True)
with mock.patch("robench.report.write.save_figures", return_value=[]):
    main()
"""
"""`robench`, but with states as often as its first word says, small batches and no figures."""

GRID = (
    *("run", "--plugin", str(PLUGINS / "tiny.py"), "--encoders", "tiny"),
    *("--methods", "plain,clae,rocl(steps=1, hidden=32)", "--sources", "shapes10(size=8)"),
    *("--attacks", "pgd(eps=2/255, steps=80),autoattack(eps=96/255)"),
    *("--epochs", "12", "--images", "384", "--limit", "30"),
)
"""All three methods, several batches of each attack, an AutoAttack that soon has what it wants."""


_BRIEF = (
    *("run", "--plugin", str(PLUGINS / "tiny.py"), "--encoders", "tiny", "--methods", "plain"),
    *("--sources", "shapes10(size=8)", "--epochs", "1", "--images", "384", "--limit", "10"),
)
LONG_BATCH = (*_BRIEF, "--attacks", "autoattack(eps=1/255)")
"""One batch of an AutoAttack that some images withstand."""

LONG_PROBE = (*_BRIEF, "--probes", "aff(epochs=60, batch=32)", "--attacks", "pgd(eps=2/255)")
"""A probe that trains for longer than all else takes."""


class Killed(BaseException):
    """The process ends here."""


class Killing:
    """Checkpoints on disk of a process that is killed at a safe point: the one of that number.

    0 is never.
    """

    def __init__(self, folder: Path, after: int = 1) -> None:
        self.saved, self.left = FileCheckpoints(folder, {}, lambda line: None), after

    def load(self, accept: Accept = any_state) -> State | None:
        return self.saved.load(accept)

    def save_if_due(self, state: Callable[[], State]) -> None:
        self.saved.save_if_due(state)
        self.left -= 1
        if self.left == 0:
            raise Killed


def resumed(folder: Path, work: Callable[[Killing], A], after: int = 1) -> tuple[A, int]:
    """The result of work that is killed at every safe point of that number, and the kills."""
    for kills in range(100):
        with suppress(Killed):
            return work(Killing(folder, after)), kills
    raise AssertionError("killed a hundred times, it gets no further")


class Ended(NamedTuple):
    """What a run said, and the processor's seconds that it took after its imports."""

    out: str
    err: str
    seconds: float


def launch(folder: Path, *words: str, every: float = 0.05) -> subprocess.Popen[str]:
    """Start ``robench words...`` with results and zoo in ``folder``; it says "ready" first."""
    places = ("--out", str(folder / "out"), "--zoo", str(folder / "zoo"))
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(every), *words, *places],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def start(folder: Path, *words: str, every: float = 0.05) -> subprocess.Popen[str]:
    """The same, past its imports."""
    process = launch(folder, *words, every=every)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def run(folder: Path, *words: str, every: float = 0.05) -> Ended:
    """Run it to its end."""
    before = _of_children()
    process = start(folder, *words, every=every)
    imports = spent(process)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return Ended(out, err, _of_children() - before - imports)


def kill_after(folder: Path, seconds: float, *words: str, every: float = 0.05) -> tuple[bool, str]:
    """Start it and kill it when it has worked so long; whether it still ran, and what it said.

    In seconds of the processor, so that it makes no difference what else the machine does.
    """
    process = start(folder, *words, every=every)
    imports = spent(process)
    while process.poll() is None and spent(process) - imports < seconds:
        time.sleep(0.01)
    process.kill()
    _, err = process.communicate()
    return process.returncode == -signal.SIGKILL, err


def spent(process: "subprocess.Popen[str]") -> float:
    """Seconds of the processor that a running process has had."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def end_state(folder: Path) -> dict[str, str]:
    """What a run must end in, byte for byte: encoders, outcomes, and the table but for times."""
    state = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in ("zoo/*/*.safetensors", "zoo/*/probes/*", "out/cells/*.npz")
        for path in folder.glob(pattern)
    }
    with (folder / "out" / "results.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            del row["seconds"]
            state[row["key"]] = repr(sorted(row.items()))
    return state


def leftovers(folder: Path) -> list[str]:
    """What a finished run should not leave: the states of unfinished work."""
    return [str(path.relative_to(folder)) for path in folder.rglob("unfinished")]
