"""Flags from a run to the reader: in the cells, in every table, and gone with their cause."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import files, robench, without_figures
from stored import planted, store_in

from robench import api
from robench.catalog.catalog import Catalog
from robench.engine.bench import Bench
from robench.engine.progress import silent
from robench.grid.records import Result
from robench.store.store import PUBLISHED, Store

OUT = ("--out", "out", "--zoo", "zoo")
SMALL, LARGE = (f"pgd(eps={eps}, norm=linf, steps=20)" for eps in ("4/255", "8/255"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for stage in ("pretrain", "probe", "evaluate"):
        monkeypatch.setattr(f"robench.engine.bench.{stage}", pytest.fail)
    return tmp_path


def right(count: int) -> list[bool]:
    return (np.arange(400) < count).tolist()


def grid(large: int = 200) -> list[Result]:
    """Two methods; plain's PGD leaves more at the larger radius, or what ``large`` says."""
    return [
        planted(right(count), method, attack)
        for method, counts in (("plain", (300, 100, large)), ("rocl", (250, 100, 50)))
        for attack, count in zip(("clean", SMALL, LARGE), counts, strict=True)
    ]


def answer(results: Sequence[Result], store: Store) -> api.Results:
    """What a run does with cells that are all stored already."""
    bench = Bench(Catalog(), store, Path(), torch.device("cpu"), silent, print)
    with without_figures():
        return api.answer(bench, [result.cell.evaluation for result in results], 400)


def test_a_run_shows_flags_beside_other_cells_and_writes_none(elsewhere: Path) -> None:
    store = store_in(Path(), grid())
    before = files(Path("out/cells"))
    results = answer(grid(), store)
    expected = {"plain 4/255", "plain 8/255"}
    assert {f"plain {r.eps}" for r in results if r.flags == ("masked",)} == expected
    rows = list(csv.DictReader(Path("out/results.csv").read_text().splitlines()))
    assert [row["flags"] for row in rows if row["method"] == "plain"] == ["", "masked", "masked"]
    table = Path("out/table.md").read_text()
    assert r"| SimCLR | **75.0**<sub>\#1</sub> | 25.0<sup>a</sup> | 50.0<sup>a</sup> |" in table
    assert "<sup>a</sup> flagged: masked (signs of masked gradients" in table
    assert files(Path("out/cells")) == before
    for path in Path("out/cells").glob("plain*linf8_255*"):
        path.unlink()
    assert all(result.flags == () for result in answer(grid()[:2], store))


def test_readers_draw_flags_that_nobody_has_written() -> None:
    store_in(Path(), grid())
    before = files(Path("out/cells"))
    compared = robench("compare", "plain", "rocl", *OUT)
    assert "(a) flagged: masked (signs of masked gradients" in compared.out
    listed = [line for line in robench("ls", "results", *OUT).out.splitlines() if "plain" in line]
    assert sum("flagged masked" in line for line in listed) == 2
    worst = robench("worst-case", "pgd", *OUT).out
    assert "flagged: masked" in worst
    with without_figures():
        assert robench("report", *OUT).code == 0
    assert "flagged: masked" in Path("out/table.md").read_text()
    assert files(Path("out/cells")) == before


def test_a_published_shelf_is_never_written(elsewhere: Path) -> None:
    store_in(Path("shelf"), grid())
    shelf = Path("shelf/out")
    (shelf / PUBLISHED).write_text("{}")
    before = files(shelf)
    own = Store(Path("own"), Path("zoo"), print, shelf=shelf)
    results = answer(grid(), own)
    assert sum(result.flags == ("masked",) for result in results) == 2
    assert files(shelf) == before
    assert "flagged: masked" in Path("own/table.md").read_text()
