"""A table as Markdown, LaTeX, CSV and on a terminal."""

import csv
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
from stored import grid, planted

from robench.report import render
from robench.report.pivot import pivot
from robench.report.render import comma_separated, latex, markdown, terminal
from robench.report.table import Note, Number, Row, Table


def clean(correct, method="plain", **names):
    return planted(correct, method, "clean", **names)


@pytest.fixture
def table():
    odd = "b_1 & co|x"
    attacked = planted(0.804, odd, "pgd", n=500, norm="linf", eps="8/255", flags=("50% <odd>",))
    return pivot([clean(0.9, odd, n=500), clean(0.5, "a", n=500), attacked], scale="50% of #1")


@pytest.fixture
def spread():
    return pivot([clean(share, seed=seed) for seed, share in enumerate((0.4, 0.5))], scale="")


def test_markdown_shows_every_number_and_name(table, spread):
    lines = markdown(table).splitlines()
    assert "| method | clean | PGD-20 8/255 |" in lines
    assert r"| a | 50.0<sub>\#2</sub> | – |" in lines
    assert r"| b\_1 &amp; co\|x | **90.0**<sub>\#1</sub> | 80.4<sup>a</sup> |" in lines
    assert "<sup>a</sup> flagged: 50% &lt;odd>" in lines
    assert r"50% of \#1" in lines[0]
    assert "| SimCLR | 45.0 ± 7.1 |" in markdown(spread)


def test_latex_shows_every_number_and_name(table, spread):
    text = latex(table)
    assert r" & \multicolumn{1}{c}{} & \multicolumn{1}{c}{PGD-20} \\" in text
    assert r"\cmidrule(lr){3-3}" in text
    assert r"method & clean & 8/255 \\" in text
    assert r"a & 50.0 & -- \\" in text
    row = r"b\_1 \& co\textbar{}x & \textbf{90.0} & 80.4\rlap{\textsuperscript{a}} \\"
    assert row in text
    assert r"\textsuperscript{a}~flagged: 50\% \textless{}odd\textgreater{}" in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1
    assert r"\begin{tabular}{lrr}" in text
    assert r"SimCLR & 45.0 $\pm$ 7.1 \\" in latex(spread)
    assert latex(pivot(grid(n=20), scale="")).count(r"\midrule") == 4  # between groups


PACKAGES = ("adjustbox", "booktabs", "multirow")


def has_tex():
    return shutil.which("pdflatex") is not None and all(
        subprocess.run(["kpsewhich", f"{one}.sty"], capture_output=True).returncode == 0
        for one in PACKAGES
    )


@pytest.mark.skipif(not has_tex(), reason=f"no pdflatex with {', '.join(PACKAGES)} here")
def test_latex_compiles_and_is_no_wider_than_its_page(table, spread, tmp_path):
    wide = pivot(grid(seeds=(0, 1), n=50, suspect="clae"), scale="8 × 8 pixels")
    floats = "\\clearpage\n".join(map(latex, (table, spread, wide)))
    text = rf"\documentclass{{article}}\usepackage{{{','.join(PACKAGES)}}}\begin{{document}}"
    (tmp_path / "paper.tex").write_text(f"{text}\n{floats}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "Overfull" not in done.stdout
    assert r"\multirow{3}{*}{CIFAR-10 $\rightarrow$ CIFAR-10}" in floats
    assert r"$\varepsilon$ in L$\infty$" in floats


def test_ties_are_marked_and_explained():
    correct = np.arange(50) > 2
    table = pivot([clean(correct, "a"), clean(correct | (np.arange(50) == 0), "b")], scale="")
    assert r"| a | 94.0<sup>†</sup> |" in markdown(table)
    assert "†: tied with the best" in markdown(table)
    assert r"a & 94.0\rlap{\textsuperscript{\dag{}}} \\" in latex(table)
    assert r"Bold: best of its column; \dag{}: tied" in latex(table)
    boxed = "\n".join(on_terminal(table, 100))
    assert re.search(r"│ a +│ 94\.0 † │", boxed)
    assert re.search(r"│ b +│ +96\.0\* │", boxed)


def test_csv_has_bare_numbers_and_marks_beside_them(table, spread):
    first, second = csv.DictReader(io.StringIO(comma_separated(table)))
    assert first == {
        "method": "a",
        "clean": "50.0",
        "clean mark": "#2",
        "PGD-20 8/255": "",
        "PGD-20 8/255 mark": "",
    }
    assert second["method"] == "b_1 & co|x"
    assert (second["clean"], second["clean mark"]) == ("90.0", "best; #1")
    assert (second["PGD-20 8/255"], second["PGD-20 8/255 mark"]) == ("80.4", "flagged: 50% <odd>")
    (row,) = csv.DictReader(io.StringIO(comma_separated(spread)))
    assert row == {"method": "SimCLR", "clean": "45.0", "clean sd": "7.1", "clean mark": ""}


def test_a_flag_of_every_number_is_said_once_and_marks_none():
    results = [clean(0.5, name, flags=("budget",)) for name in ("a", "b")]
    table = pivot([*results, clean(0.5, "c", flags=("budget", "gap"))], scale="")
    for text in (markdown(table), latex(table), terminal(table, 1000)):
        assert text.count("All numbers flagged: budget (") == 1
        assert text.count("flagged: gap (") == 1
    assert "| a | 50.0 |" in markdown(table)
    assert "| c | 50.0<sup>a</sup> |" in markdown(table)
    marks = [row["clean mark"] for row in csv.DictReader(io.StringIO(comma_separated(table)))]
    assert marks == ["flagged: budget"] * 2 + ["flagged: budget; flagged: gap"]


# --- terminals


def on_terminal(table, width):
    """Lines on a terminal, without the codes for bold."""
    return re.sub("\x1b\\[[0-9;]*m", "", terminal(table, width)).splitlines()


def test_a_terminal_shows_a_box_that_is_no_wider():
    table = pivot(grid(seeds=(0, 1), n=60, suspect="clae"), scale="x " * 80)
    lines = on_terminal(table, 120)
    assert max(map(len, lines)) <= 120
    box = [line for line in lines if line.startswith(tuple("╭│├╰"))]
    assert (len({len(line) for line in box}), box[0][0], box[-1][0]) == (1, "╭", "╰")
    ours = [line for line in box if re.match("│   [A-Z]", line)]
    for row, line in zip(table.rows, ours, strict=True):
        assert f"   {row.names[1]} " in line
        shown = re.findall(r"[0-9]+\.[0-9](?=\*? ±)", line)
        assert shown == [f"{number.value:.1f}" for number in row.entries]
    heads = [line.split("│")[1].strip() for line in box if re.match("│ C[^│]+│ +│", line)]
    assert heads == list(dict.fromkeys(row.names[0] for row in table.rows))
    assert not re.search("<|\\*\\*|--", "".join(lines))


def test_columns_that_do_not_fit_follow_below_under_the_same_names():
    numbers = [Number(10 * column + 0.5, 1.0) for column in range(12)]
    heads = tuple(f"attack{column} linf 8/255" for column in range(12))
    rows = (Row(("a method",), tuple(numbers)), Row(("another",), (None,) * 12))
    lines = on_terminal(Table("", ("method",), heads, (rows,)), 60)
    assert max(map(len, lines)) <= 60
    ours = [line for line in lines if "│ a method │" in line]
    assert len(ours) > 1
    assert re.findall(r"[0-9.]+ ± 1\.0", "".join(ours)) == [f"{n.value} ± 1.0" for n in numbers]


def test_standard_output_gets_a_box_without_codes_in_a_pipe(monkeypatch):
    table = pivot(grid(n=60), scale="x " * 80)
    monkeypatch.setenv("COLUMNS", "90")
    assert render.shown(table).splitlines() == on_terminal(table, 90)  # output is captured
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert render.shown(table) == terminal(table, 90)


def test_marks_and_notes_of_other_tables_are_shown():
    row = Row(("a",), (Number(-0.04, mark="?"), "[1.0, 2.0]", None))
    table = Table("c", ("name",), ("x", "y", "z"), ((row,),), notes=(Note("?", "not checked"),))
    assert r"| a | 0.0? | \[1.0, 2.0\] | – |" in markdown(table)
    assert "<sup>?</sup> not checked" in markdown(table)
    assert "a & 0.0? & {[}1.0, 2.0{]} & --" in latex(table)
    assert re.search(r"a +│ 0\.0\? │ \[1\.0, 2\.0\] │ – │", "".join(on_terminal(table, 100)))
