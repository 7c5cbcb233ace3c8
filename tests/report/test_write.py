"""The whole report in one folder."""

import csv
import os
from dataclasses import replace

import pytest
from stored import curves, examples, grid, planted

from robench.metrics.accuracy import accuracy
from robench.report.pivot import pivot
from robench.report.results import Order
from robench.report.table import Table
from robench.report.write import save, write

FIGURES = ("trade_off", "eps_curve", "transfer", "pretraining", "examples")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# Drawing all five figures, twice, takes about five seconds.
def test_a_report_has_all_its_files_and_a_second_one_changes_none(tmp_path):
    methods = ("plain", "rocl")
    shown = ([*grid(methods=methods, n=40), examples("other", m=2)], curves(methods, epochs=3))
    table = pivot(shown[0], scale="quick")
    paths = write(*shown, table, tmp_path)
    names = {"results.csv", "table.md", "table.csv", "table.tex"}
    names |= {f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")}
    assert {path.relative_to(tmp_path).as_posix() for path in paths} == names
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")} == names
    for path in paths:
        os.utime(path, ns=(1, 1))
    backwards = [one[::-1] for one in shown]
    assert write(*backwards, table, tmp_path) == paths
    assert [path.stat().st_mtime_ns for path in paths] == [1] * len(paths)


def test_a_figure_with_nothing_to_show_goes_and_a_foreign_one_stays(tmp_path):
    figures = tmp_path / "figures"
    figures.mkdir()
    for name in ("transfer.png", "examples_2.pdf", "mine.png"):
        (figures / name).write_bytes(b"older")
    results = [planted(0.123, n=1000, flags=("x",))]
    write(results, [], pivot(results, scale=""), tmp_path)
    (row,), (shown,) = rows(tmp_path / "results.csv"), rows(tmp_path / "table.csv")
    assert (float(row["accuracy"]), row["n"], row["flags"]) == (0.123, "1000", "x")
    assert shown["PGD-20 8/255"] == "12.3"
    assert {path.name for path in figures.iterdir()} == {
        "eps_curve.png", "eps_curve.pdf", "mine.png"
    }  # fmt: skip


def test_a_metric_is_a_column_of_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr("robench.report.write.save_figures", lambda *_: [])
    metrics = {"accuracy": accuracy, "mine": lambda outcome: len(outcome.label) / 8}
    results = grid(methods=("plain", "rocl"), n=20)
    order = Order([replace(results[0].labels, method="rocl")])
    write(results, [], pivot(results, scale=""), tmp_path, order=order, metrics=metrics)
    tidy = rows(tmp_path / "results.csv")
    assert tidy[0]["method"] == "rocl"
    assert {row["mine"] for row in tidy} == {"2.5"}


def test_nothing_to_report_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(ValueError, match="no results to report"):
        write([], [], Table("", (), (), ()), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_is_replaced_in_one_step_and_only_when_different(tmp_path):
    path = tmp_path / "deep" / "file"
    save(path, b"one")
    os.utime(path, ns=(1, 1))
    save(path, b"one")
    assert path.stat().st_mtime_ns == 1
    save(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]
