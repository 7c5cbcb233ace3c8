"""Several processes on one folder share the work: nothing twice, nothing lost, nothing torn.

It takes half a minute: four real processes start and work.
"""

import re
from collections import Counter
from pathlib import Path

from killed import end_state, leftovers, start

from robench.store import Store

COMMON = ("--sources", "shapes10(size=8)", "--epochs", "3", "--images", "384", "--limit", "30")
METHODS = ("plain", "clae", "rocl(steps=1, hidden=32)")
ATTACKS = ("pgd(eps=2/255)", "pgd(eps=1/255)", "pgd(eps=4/255)")
GRIDS = [(METHODS, ATTACKS), (METHODS[::-1], ATTACKS[:2]), (METHODS[1:], ATTACKS[1:])]


def words(methods: tuple[str, ...], attacks: tuple[str, ...]) -> tuple[str, ...]:
    toy = ("--plugin", str(Path(__file__).parent / "plugins" / "tiny.py"), "--encoders", "tiny")
    return ("run", *toy, "--methods", ",".join(methods), "--attacks", ",".join(attacks), *COMMON)


def test_four_processes_one_of_which_is_killed(tmp_path: Path) -> None:
    killed = start(tmp_path, *words(*GRIDS[0]))
    assert killed.stdout is not None
    first = killed.stdout.readline()  # one encoder is there, and the process in the midst of things
    several = [start(tmp_path, *words(*grid)) for grid in (*GRIDS, GRIDS[0])]
    killed.kill()
    computed = first + killed.communicate()[0]
    said = []
    for process in several:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert "damaged" not in err
        said.append(out)
    computed += "".join(said)
    encoders = Counter(re.findall(r"^pretraining .*?:", computed, re.MULTILINE))
    cells = Counter(re.findall(r"^\[\d+/\d+\] (.*?): [\d.]+%", computed, re.MULTILINE))
    assert sorted(encoders.values()) == [1] * 3
    # What was killed between keeping its answer and saying so is not computed again.
    assert len(cells) in (11, 12)
    assert set(cells.values()) == {1}
    store = Store(tmp_path / "out", tmp_path / "zoo", lambda line: None)
    assert len(list(store.results())) == 3 * 4
    assert len([name for name in end_state(tmp_path) if "cells" in name]) == 3 * 4
    table = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert len(table) == 1 + 3 * 4
    assert leftovers(tmp_path) == []
