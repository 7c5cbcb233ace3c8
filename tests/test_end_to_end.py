"""The main job for real, small: drawn pictures, an encoder, a probe, PGD and the full AutoAttack.

It takes some ten seconds: every promised file is made, figures included, and then nothing is.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import Done, files, robench

from robench.engine import bench
from robench.grid.records import radius
from robench.grid.spec import parse, parse_number
from robench.report import write

COMMAND = (
    *("run", "--methods", "plain,rocl(steps=1)"),
    *("--attacks", "pgd,pgd(eps=1/255),autoattack"),
    *("--sources", "shapes10", "--images", "256", "--epochs", "1"),
    *("--limit", "6", "--eps", "8/255"),
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Done]]:
    """A checkout at whose root the command ran once."""
    root = tmp_path_factory.mktemp("clone")
    shutil.copy(Path(__file__).parents[1] / ".gitignore", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield root, robench(*COMMAND)


def test_the_command_shows_its_table_and_writes_every_promised_file(
    clone: tuple[Path, Done],
) -> None:
    root, done = clone
    assert (done.code, done.err) == (0, "")
    assert "pretraining SimCLR on Shapes-10, seed 0: loss " in done.out
    assert "8/8  " in done.out
    assert "│ method " in done.out
    *_, files, then = done.out.splitlines()
    assert files == "files: results/quick/ has table.md, table.tex, results.csv, figures and cells"
    assert then == "next:  robench compare rocl plain"

    out = root / "results" / "quick"
    cells = sorted((out / "cells").glob("*.json"))
    assert len(cells) == 2 * 4
    assert all(cell.with_suffix(".npz").exists() for cell in cells)
    for name in ("results.csv", "table.md", "table.csv", "table.tex"):
        assert (out / name).stat().st_size > 100
    for name in ("trade_off", "eps_curve", "pretraining", "examples"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 1000
        assert (out / "figures" / f"{name}.pdf").stat().st_size > 1000
    assert len(list((root / "zoo").glob("*/card.json"))) == 2


def test_attacks_stay_in_their_ball_and_only_hurt(clone: tuple[Path, Done]) -> None:
    for path in (clone[0] / "results" / "quick" / "cells").glob("*.json"):
        cell = json.loads(path.read_bytes())
        with np.load(path.with_suffix(".npz")) as outcome:
            attack = parse(cell["evaluation"]["attack"])
            eps = radius(attack)[1]
            if eps:
                assert outcome["size"].max() <= parse_number(eps) + 1e-6
            else:
                assert np.isnan(outcome["size"]).all()
            right = outcome["clean_prediction"] == outcome["label"]
            if attack.name == "autoattack":
                assert not (outcome["prediction"] == outcome["label"])[~right].any()
        assert cell["provenance"]["versions"]["torch"]
        assert cell["provenance"]["precision"] == "fp32"


def test_git_has_nothing_to_say_of_a_run(clone: tuple[Path, Done]) -> None:
    root = clone[0]
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / "data").mkdir()
    (root / "data" / "x.npy").write_bytes(b"")
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, check=True, capture_output=True, text=True
    )
    shutil.rmtree(root / ".git")
    shutil.rmtree(root / "data")
    assert status.stdout == "?? .gitignore\n"


def test_the_same_command_again_computes_nothing(
    clone: tuple[Path, Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, first = clone
    for stage in ("pretrain", "probe", "evaluate"):
        monkeypatch.setattr(bench, stage, pytest.fail)
    monkeypatch.setattr(write, "save_figures", pytest.fail)
    before = files(root)
    again = robench(*COMMAND)
    assert again.code == 0
    assert again.err == ""
    table = first.out[
        first.out.index("\nClean and robust accuracy") : first.out.index("\n8 computed, ")
    ]
    before_it, _, after = again.out.partition(table)
    counts = "8 cells: 8 cached, 0 to compute; 2 encoders, 0 to pretrain\n"
    assert re.fullmatch(rf"(Schedule of .*\n)*{counts}read 8 cells, .*\n", before_it)
    assert after.startswith("\n0 computed, 8 cached, 0 failed, in ")
    assert files(root) == before  # not a byte, and not a time
    planned = robench(*COMMAND, "--dry-run").out
    assert planned.endswith(f"\n{counts}nothing to compute\n")
    assert files(root) == before
