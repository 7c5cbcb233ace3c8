"""Worker processes: the same bytes as one process, whatever happens to them."""

import json
import re
import signal
import time
from pathlib import Path
from tempfile import gettempdir

import pytest
from commands import PLUGINS, robench
from killed import end_state, launch, leftovers

from robench.catalog.request import Places
from robench.grid.spec import SpecError

TOYS = tuple(w for name in ("tiny", "mortal") for w in ("--plugin", str(PLUGINS / f"{name}.py")))
GRID = ("run", *TOYS, "--encoders", "tiny", "--sources", "shapes10(size=8)", "--threads", "1")
BRIEF = (*GRID, "--epochs", "1", "--images", "384", "--limit", "30")


def places(folder: Path) -> tuple[str, ...]:
    return "--out", str(folder / "out"), "--zoo", str(folder / "zoo")


def provenances(folder: Path) -> list[dict[str, object]]:
    files = [*folder.glob("out/cells/*.json"), *folder.glob("zoo/*/card.json")]
    return [json.loads(file.read_text())["provenance"] for file in files]


def test_two_workers_give_the_bytes_of_one(tmp_path: Path) -> None:
    words = (*BRIEF, "--methods", "plain,clae", "--attacks", "pgd(eps=2/255)")
    one, two = tmp_path / "one", tmp_path / "two"
    alone = robench(*words, *places(one))
    done = robench(*words, "--workers", "2", *places(two))
    assert (alone.code, done.code, done.err) == (0, 0, "")
    assert end_state(one) == end_state(two)
    assert {p["threads"] for p in (*provenances(one), *provenances(two))} == {1}
    said = re.compile(r"^(\d/4  .*?%|pretraining .*?:)", re.MULTILINE)
    assert sorted(said.findall(alone.out)) == sorted(said.findall(done.out))
    assert len(said.findall(done.out)) == 2 + 4
    again = robench(*words, "--workers", "2", *places(two))
    assert said.findall(again.out) == []
    assert "read 4 cells" in again.out


def test_what_goes_wrong_stays_in_its_cell(tmp_path: Path) -> None:
    """A worker that dies once, a question that kills every worker, an encoder that fails."""
    once, always = (f"mortal(name={tmp_path.name}-{name}" for name in "ab")
    attacks = f"{once}),{always}, always=true)"
    words = (*BRIEF, "--methods", "plain,clae", "--attacks", attacks, "--set", "clae.lr=1e30")
    done = robench(*words, "--workers", "2", *places(tmp_path))
    assert done.code == 1
    lines = done.err.splitlines()
    assert len(lines) == 3
    assert lines[2] == "robench: 4 of 6 cells are missing"
    assert any("failed: method clae" in line for line in lines)
    assert any(re.search(r"plain-.*-mortal-.* its process died 3 times", line) for line in lines)
    cells = [path.name for path in tmp_path.glob("out/cells/*.json")]
    assert sorted("mortal" in name for name in cells) == [False, True]
    assert leftovers(tmp_path) == []


def test_ctrl_c_stops_all_at_a_safe_point(tmp_path: Path) -> None:
    marks = [f"{tmp_path.name}-{name}" for name in "ab"]
    methods = ",".join(f"marking(name={mark})" for mark in marks)
    words = (*GRID, "--plugin", str(PLUGINS / "marking.py"), "--methods", methods)
    words = (*words, "--attacks", "clean", "--epochs", "4000", "--images", "384", "--workers", "2")
    for mark in marks:  # of an earlier run
        (Path(gettempdir()) / mark).unlink(missing_ok=True)
    process = launch(tmp_path, *words)
    until = time.monotonic() + 200
    while not all((Path(gettempdir()) / mark).exists() for mark in marks):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert err.lstrip() == "robench: interrupted; the same command goes on from here\n"
    saved = list(tmp_path.glob("zoo/unfinished/*/*.safetensors"))
    assert len({path.parent for path in saved}) == 2


def test_a_number_of_workers_is_a_number_or_auto() -> None:
    assert Places(workers="auto").workers >= 1  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="workers=none should be a whole number, at least 1"):
        Places(workers="none")  # type: ignore[arg-type]
