"""Several processes on one folder share the work: nothing twice, nothing lost, nothing torn.

It takes half a minute: four real processes start and work.
"""

import re
import signal
from collections import Counter
from pathlib import Path

import pandas as pd
import torch
from commands import PLUGINS
from killed import end_state, launch, leftovers
from layout_files import LAYOUTS

from robench.store.store import Store

COMMON = ("--sources", "shapes10(size=8)", "--epochs", "3", "--images", "384", "--limit", "30")
METHODS = ("plain", "clae", "rocl(steps=1, hidden=32)")
ATTACKS = ("pgd(eps=2/255)", "pgd(eps=1/255)", "pgd(eps=4/255)")
GRIDS = [(METHODS, ATTACKS), (METHODS[::-1], ATTACKS[:2]), (METHODS[1:], ATTACKS[1:])]


def words(methods: tuple[str, ...], attacks: tuple[str, ...]) -> tuple[str, ...]:
    toy = ("--plugin", str(Path(__file__).parents[1] / "plugins" / "tiny.py"), "--encoders", "tiny")
    return ("run", *toy, "--methods", ",".join(methods), "--attacks", ",".join(attacks), *COMMON)


def test_four_processes_one_of_which_is_killed(tmp_path: Path) -> None:
    several = [launch(tmp_path, *words(*grid)) for grid in (*GRIDS, GRIDS[0])]
    said = ["", "", "", ""]
    assert several[0].stdout is not None
    # One encoder is there, and it is in the midst of things; or the others were so much quicker.
    while "pretraining" not in said[0] and (line := several[0].stdout.readline()):
        said[0] += line
    several[0].kill()
    for number, process in enumerate(several):
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0 or (number == 0 and process.returncode == -signal.SIGKILL), (
            err
        )
        assert "damaged" not in err
        said[number] += out
    computed = "".join(said)
    encoders = Counter(re.findall(r"^pretraining .*?:", computed, re.MULTILINE))
    cells = Counter(re.findall(r"^ *\d+/\d+  (.*?) +[\d.]+%", computed, re.MULTILINE))
    # What was killed between keeping an answer and saying so is not computed again.
    assert len(encoders) in (2, 3)
    assert len(cells) in (11, 12)
    assert set(encoders.values()) == set(cells.values()) == {1}
    assert sum("pretraining" in one or "%  " in one for one in said) > 1
    store = Store(tmp_path / "out", tmp_path / "zoo", lambda line: None)
    assert len(list(store.results())) == 3 * 4
    assert len([name for name in end_state(tmp_path) if "cells" in name]) == 3 * 4
    table = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert len(table) == 1 + 3 * 4
    store.prepare()  # as every run does, it sweeps after the one that was killed
    assert leftovers(tmp_path) == []
    print(f"encoders {len(encoders)}, cells {len(cells)}, lost 0")


def test_several_evaluations_at_once_lose_no_row(tmp_path: Path) -> None:
    """Three checkpoints of one layout, and one of them twice."""
    files = [tmp_path / f"{name}.pt" for name in "abc"]
    for seed, file in enumerate(files):
        torch.manual_seed(seed)
        torch.save(LAYOUTS["kuangliu"]().entries, file)
    plugins = (w for name in ("blobs", "nudge") for w in ("--plugin", f"{PLUGINS / name}.py"))
    words = (
        "--data",
        "blobs",
        "--normalize",
        "none",
        "--attacks",
        "nudge",
        "--eps",
        "8/255",
        "--limit",
        "12",
        *plugins,
    )
    several = [launch(tmp_path, "evaluate", str(file), *words) for file in (*files, files[0])]
    said = [process.communicate(timeout=300)[1] for process in several]
    assert [process.returncode for process in several] == [0] * 4, said
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    found = Counter(zip(rows["method"], rows["attack"], strict=True))
    assert len(found) == 3 * 2
    assert set(found.values()) == {1}
