"""The whole report in one folder."""

import csv
import os
import subprocess
import sys

import pytest

from robench.metrics.accuracy import accuracy
from robench.report.files import replace
from robench.report.write import write

FIGURES = ("trade_off", "eps_curve", "transfer", "pretraining", "examples")


@pytest.fixture
def small(grid, curves, examples):
    results = grid(methods=("plain", "rocl"), n=40)
    return results, curves(methods=("plain", "rocl"), epochs=3), [examples(m=2)]


# Drawing all five figures, twice, takes about five seconds.
def test_a_report_has_all_its_files_and_a_second_one_changes_none(tmp_path, small):
    paths = write(*small, tmp_path, scale="quick")
    names = {"results.csv", "table.md", "table.csv", "table.tex"}
    names |= {f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")}
    assert {path.relative_to(tmp_path).as_posix() for path in paths} == names
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")} == names
    for path in paths:
        os.utime(path, ns=(1, 1))
    assert write(*small, tmp_path, scale="quick") == paths
    assert [path.stat().st_mtime_ns for path in paths] == [1] * len(paths)


def test_figures_come_out_the_same_in_another_folder(tmp_path, small):
    results, _, _ = small
    clean = [r for r in results if r.cell.labels.source == "cifar10" == r.cell.labels.target]
    first = write(clean, [], [], tmp_path / "a", scale="quick")
    second = write(clean[::-1], [], [], tmp_path / "b", scale="quick")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_results_csv_reads_back(tmp_path, result):
    write([result(0.25, flags=("x", "y"))], [], [], tmp_path, scale="")
    with (tmp_path / "results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["accuracy"]) == 0.25
    assert (row["n"], row["flags"], row["eps"]) == ("100", "x;y", "")


def test_nothing_to_report_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(ValueError, match="no results to report"):
        write([], [], [], tmp_path / "out", scale="")
    assert not (tmp_path / "out").exists()


def test_a_file_is_replaced_in_one_step_and_only_when_different(tmp_path):
    path = tmp_path / "deep" / "file"
    assert replace(path, b"one")
    assert not replace(path, b"one")
    assert replace(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_the_package_itself_imports_neither_pandas_nor_matplotlib():
    code = "import robench.report, sys; print({'pandas', 'matplotlib'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_a_metric_is_a_column_beside_the_key_in_the_order_of_the_table(tmp_path, grid):
    results = grid(methods=("plain", "rocl"), n=20)
    write(results, [], [], tmp_path, scale="", metrics={"accuracy": accuracy, "n": lambda o: 3.0})
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "results.csv").open(newline="") as file:
        tidy = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == [row["key"] for row in tidy]
    assert [float(row["accuracy"]) for row in rows] == [float(row["accuracy"]) for row in tidy]
    assert {row["n"] for row in rows} == {"3"}
