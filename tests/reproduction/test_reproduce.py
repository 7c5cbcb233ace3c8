"""A whole reproduction for real, on drawn images: a few seconds, most of them two trainings."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Done, files, robench

from robench import reproduction
from robench.engine import bench
from robench.grid.recipe import Recipe
from robench.papers import PaperRow, PaperTable, Scale
from robench.report import published
from robench.report.published import read

TOY = Scale(
    recipe=Recipe(epochs=1, batch=64, images=128),
    probe_images=128,
    limit=12,
    arguments=("rocl(steps=1)",),
)
TABLE = PaperTable(
    title="A toy, table 1",
    paper="Toy2026",
    tables=["table 1"],
    transfers=[["shapes10", "shapes10"]],
    columns={"clean": "clean", "pgd linf 2/255": "pgd(norm=linf, eps=2/255)"},
    rows=(
        PaperRow("Supervised", "supervised", not_run="not done here"),
        PaperRow("SimCLR", "LE", "quick", "plain", "linear-sgd"),
        PaperRow("RoCL", "LE", "quick", "rocl", "linear-sgd"),
    ),
    remarks=["It is a toy."],
)
VALUES = """\
paper,table,source,target,encoder,method,protocol,attack,norm,eps,value,confidence,source_text
Toy2026,table 1,shapes10,shapes10,x,Supervised,supervised,clean,,,99.9,unverified,hearsay
Toy2026,table 1,shapes10,shapes10,x,SimCLR,LE,clean,,,61.25,exact,the toy's box
Toy2026,table 1,shapes10,shapes10,x,RoCL,LE,clean,,,52.50,secondary,a toy shop
Toy2026,table 1,shapes10,shapes10,x,RoCL,LE,pgd20,linf,2/255,41.50,unverified,hearsay
"""
COMMAND = ("reproduce", "toy", "--scale", "toy", "--device", "cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Done]]:
    """A folder in which the command ran once."""
    folder = tmp_path_factory.mktemp("reproduction")
    find = reproduction.find
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(reproduction, "find", lambda name: TABLE if name == "toy" else find(name))
        patch.setitem(reproduction.SCALES, "toy", TOY)
        patch.setattr(published, "values", lambda: read(VALUES))
        yield folder, robench(*COMMAND)


def test_it_prints_both_values_and_writes_them(root: tuple[Path, Done]) -> None:
    folder, done = root
    out = folder / "results" / "reproduce" / "toy-toy"
    assert (done.code, done.err) == (0, "")
    text = (out / "reproduction.md").read_text(encoding="utf-8")
    assert "\ntoy at toy\n\nA reduced scale. These numbers are" in done.out
    assert not any(sign in done.out for sign in ("<sup>", "**", "\n|", "\n#"))
    assert "| Supervised | shapes10 → shapes10 | clean | 99.9? | not run |" in text
    assert "| SimCLR | shapes10 → shapes10 | clean | 61.25 |" in text
    assert "| RoCL | shapes10 → shapes10 | clean | 52.50‡ |" in text
    assert "| RoCL | shapes10 → shapes10 | pgd linf 2/255 | 41.50? |" in text
    assert "| SimCLR 61.25 | RoCL 52.50‡ |" in text
    assert "exact: table 1, the toy's box" in text
    assert "| 12 of " in text
    assert "subset" not in text
    assert "no statement, a measured value is flagged" not in text
    assert "- SimCLR: pretraining epochs 1 for 8; " in text
    assert "- RoCL: method rocl(steps=1) for rocl; pretraining epochs 1 for 8; " in text
    assert "Not run: Supervised (not done here)." in text
    assert len((out / "reproduction.csv").read_text(encoding="utf-8").splitlines()) == 1 + 6
    assert len(list((out / "cells").glob("*.json"))) == 4
    assert len(list((folder / "zoo").glob("*/card.json"))) == 2


def test_the_same_command_again_computes_nothing(
    root: tuple[Path, Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, first = root
    for stage in ("pretrain", "probe", "evaluate"):
        monkeypatch.setattr(bench, stage, pytest.fail)
    before = files(folder)
    again = robench(*COMMAND)
    assert (again.code, again.err) == (0, "")
    plan, read, shown = again.out.split("\n", 2)
    assert plan.startswith("4 cells: 4 cached, 0 to compute")
    assert read.startswith("read 4 cells, made ")
    assert shown == first.out[first.out.index("\ntoy at toy") :]
    assert files(folder) == before


def test_a_dry_run_has_both_costs_and_writes_nothing(root: tuple[Path, Done]) -> None:
    folder, _ = root
    before = files(folder)
    done = robench(*COMMAND, "--dry-run", "--seeds", "0,1")
    lines = done.out.splitlines()
    assert lines[0] == "toy at toy: A toy, table 1"
    assert any(line.startswith("  reduced for SimCLR: pretraining epochs 1 for") for line in lines)
    assert "8 cells: 4 cached, 4 to compute; 4 encoders, 2 to pretrain" in lines
    assert lines[-2].startswith("in all about ")
    assert lines[-1].startswith("at full scale about ")
    assert files(folder) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("reproduce rocl-tabel1", "no table 'rocl-tabel1'; did you mean rocl-table1"),
        ("reproduce rocl-table1 --scale fulll", "no scale 'fulll'; did you mean full"),
        ("reproduce rocl-table1 --seeds x", "seeds=x should be a whole number"),
        ("reproduce", "TABLE"),
    ],
)
def test_bad_input_is_one_line(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = robench(*words.split())
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
