"""Start-up time: seconds for ``--help``, and for a finished grid of 24 cells.

    python benchmarks/startup.py

The grid, of the preset `quick`, is computed first, in some minutes. A hook counts the forward
passes of all modules; a finished grid needs none.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from measuring import machine, show

HELP = [sys.executable, "-m", "robench", "--help"]
GRID = "--sources shapes10 --targets shapes10,shapes100 --attacks pgd --eps 2/255,4/255,8/255"
CELLS = 24  # three methods, two targets, clean and three radii
COUNTED = """
import atexit, sys
from torch.nn.modules.module import register_module_forward_pre_hook
from robench.cli import main
calls = 0
def count(module, inputs):
    global calls
    calls += 1
register_module_forward_pre_hook(count)
atexit.register(lambda: print("passes", calls, file=sys.stderr))
main()
"""


def seconds(command: list[str], folder: Path) -> tuple[float, float, str]:
    """Wall and processor seconds of a process, and its standard error."""
    before = os.times()
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=True)
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return after.elapsed - before.elapsed, cpu, done.stderr


def grid(repeats: int) -> tuple[list[tuple[float, float, str]], int]:
    """The times of a finished grid, and how many cells it reports."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = ["run", *GRID.split(), "--out", "out", "--zoo", "zoo"]
        command = [sys.executable, "-c", COUNTED, *arguments]
        seconds(command, folder)  # computes the grid
        planned = subprocess.run(
            [sys.executable, "-m", "robench", *arguments, "--dry-run"],
            cwd=folder,
            text=True,
            capture_output=True,
            check=True,
        )
        planned_cells = re.search(r"^(\d+) cells: ", planned.stdout, re.MULTILINE)
        assert planned_cells is not None, planned.stdout
        return [seconds(command, folder) for _ in range(repeats)], int(planned_cells[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    helped = [seconds(HELP, Path()) for _ in range(asked.repeats)]
    again, cells = grid(asked.repeats)
    passes = [int(said.rpartition("passes ")[2]) for _, _, said in again]
    assert cells == CELLS, f"the grid has {cells} cells"
    row = {
        "benchmark": "startup",
        **machine(),
        "help_seconds": median(one[0] for one in helped),
        "help_cpu_seconds": median(one[1] for one in helped),
        "cells": cells,
        "grid_seconds": median(one[0] for one in again),
        "grid_cpu_seconds": median(one[1] for one in again),
        "forward_passes": max(passes),
    }
    table: dict[str, list[object]] = {"": ["seconds", "of processors", "forward passes"]}
    table["--help"] = [row["help_seconds"], row["help_cpu_seconds"], ""]
    table[f"{cells} finished cells"] = [
        row["grid_seconds"], row["grid_cpu_seconds"], row["forward_passes"]
    ]  # fmt: skip
    show(row, table)
