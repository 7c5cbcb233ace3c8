"""Throw damage and lies at every parser, and print what came of it as a line of JSON each.

    python tests/fuzz/run.py --minutes 10

``inputs`` were tried, ``taken`` of them were read, ``refused`` ended in the layer's clear error;
``crashes`` are all others, each once, with the shortest input that led there. A parser runs in a
process of its own with 6 GiB of address space, so that a dead process and a memory bomb are crashes
too; the process goes on with the next seed.
"""

import argparse
import base64
import json
import pickle
import resource
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from targets import TARGETS, Target, attempt

_ROUND = 500  # inputs from one seed
_MEMORY = 6 * 2**30


def main() -> None:
    """Fuzz each target for so long."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--targets", nargs="*", choices=TARGETS, default=list(TARGETS))
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--rounds", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    for name in given.targets:
        if given.rounds:
            _rounds(name, given.minutes, given.seed)
        else:
            print(json.dumps(_fuzz(name, given.minutes, given.seed)), flush=True)


def _fuzz(name: str, minutes: float, first: int) -> dict[str, Any]:
    """All of one target: processes one after the other until the time is up."""
    start, counts, crashes = time.monotonic(), Counter(), {}
    worked = _processor_minutes()
    while (left := minutes - (time.monotonic() - start) / 60) > 0.01:
        words = ["--rounds", "--targets", name, "--minutes", str(left), "--seed", str(first)]
        with subprocess.Popen(
            [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                told = json.loads(line)
                counts += Counter(told["counts"])
                first = told["seed"] + 1
                for what, found in told["crashes"].items():
                    crashes[what] = min(found, crashes.get(what, found), key=len)
        if process.returncode != 0:
            crashes[f"the process ended with {process.returncode}, seed {first}"] = ""
            first += 1
    taken, refused, crashed = (counts[word] for word in ("taken", "refused", "crashed"))
    return {
        "target": name,
        "minutes": round((time.monotonic() - start) / 60, 1),
        "processor_minutes": round(_processor_minutes() - worked, 2),
        "inputs": taken + refused + crashed,
        "taken": taken,
        "refused": refused,
        "crashes": crashes,
    }


def _processor_minutes() -> float:
    """How long the processes that have ended were at work; on a busy machine they mostly wait."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) / 60


def _rounds(name: str, minutes: float, first: int) -> None:
    """Rounds of inputs, a line of JSON each."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    warnings.simplefilter("error")
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        counts, crashes = _round(TARGETS[name], first, end)
        print(json.dumps({"seed": first, "counts": counts, "crashes": crashes}), flush=True)
        first += 1


def _round(target: Target, number: int, end: float) -> tuple[Counter[str], dict[str, str]]:
    counts: Counter[str] = Counter()
    crashes: dict[str, str] = {}

    @seed(number)
    @settings(
        max_examples=_ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs())
    def one(tried: Any) -> None:
        if time.monotonic() > end:
            return
        try:
            counts["taken" if attempt(target, tried) else "refused"] += 1
        except Exception as error:
            counts["crashed"] += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            what = f"{type(error).__name__} at {place}: {error}"[:300]
            whole = base64.b64encode(pickle.dumps(tried)).decode()
            crashes[what] = min(whole, crashes.get(what, whole), key=len)

    one()
    return counts, crashes


if __name__ == "__main__":
    main()
