"""The table in Markdown, LaTeX and CSV."""

import csv
import io
import re

import numpy as np
import pytest

from robench.report.render import comma_separated, latex, latex_escape, markdown, markdown_escape
from robench.report.table import pivot


@pytest.fixture
def table(result):
    results = [
        result(0.9, method="b_1 & co|x", attack="clean"),
        result(0.5, method="a", attack="clean"),
        result(
            0.8, method="b_1 & co|x", attack="pgd", norm="linf", eps="8/255", flags=("50% <odd>",)
        ),
    ]
    return pivot(results, scale="50% of #1")


def test_markdown_shows_every_number_and_name(table):
    lines = markdown(table).splitlines()
    assert "| method | clean | pgd 8/255 |" in lines
    assert "| a | 50.0 | – |" in lines
    assert r"| b\_1 &amp; co\|x | **90.0** | 80.0<sup>a</sup> |" in lines
    assert "<sup>a</sup> flagged: 50% &lt;odd>" in lines
    assert r"50% of \#1" in lines[0]


def test_latex_shows_every_number_and_name(table):
    text = latex(table)
    assert r"method & clean & pgd 8/255 \\" in text
    assert r"a & 50.0 & -- \\" in text
    row = r"b\_1 \& co\textbar{}x & \textbf{90.0} & 80.0\rlap{\textsuperscript{a}} \\"
    assert row in text
    assert r"\textsuperscript{a}~flagged: 50\% \textless{}odd\textgreater{}" in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1
    assert r"\begin{tabular}{lrr}" in text


def test_latex_is_balanced_whatever_the_names(result):
    nasty = "\\}{$&#%_~^<>|\"'`-±→†–é\n\t\\textbf{"
    text = latex(pivot([result(method=nasty, encoder=nasty, flags=(nasty,))], scale=nasty))
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}
    bare = re.sub(r"\\[\\{}$&#%_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not set("#~^<>|†±→–") & set(re.sub(r"~", "", bare, count=1))  # the tie after a mark
    assert bare.count("%") == 1  # the comment that names the package


def test_groups_stand_apart_in_latex(grid):
    assert latex(pivot(grid(n=20), scale="")).count(r"\midrule") == 4


def test_spread_is_written_behind_the_mean(result):
    results = [result(share, seed=seed) for seed, share in enumerate((0.4, 0.5))]
    table = pivot(results, scale="")
    assert "| plain | 45.0 ± 7.1 |" in markdown(table)
    assert r"plain & 45.0 $\pm$ 7.1 \\" in latex(table)


def test_ties_are_marked_and_explained(result):
    correct = np.arange(50) > 2
    results = [result(correct, method="a"), result(correct | (np.arange(50) == 0), method="b")]
    table = pivot(results, scale="")
    assert "| a | 94.0<sup>†</sup> |" in markdown(table)
    assert "<sup>†</sup> not distinguishable from the best" in markdown(table)
    assert r"a & 94.0\rlap{\textsuperscript{\dag{}}} \\" in latex(table)
    assert r"\textsuperscript{\dag{}}~not distinguishable" in latex(table)


def test_csv_has_bare_numbers_and_marks_beside_them(table):
    rows = list(csv.DictReader(io.StringIO(comma_separated(table))))
    assert rows[0] == {
        "method": "a",
        "clean": "50.0",
        "clean mark": "",
        "pgd 8/255": "",
        "pgd 8/255 mark": "",
    }
    assert rows[1]["method"] == "b_1 & co|x"
    assert (rows[1]["clean"], rows[1]["clean mark"]) == ("90.0", "best")
    assert rows[1]["pgd 8/255 mark"] == "flagged: 50% <odd>"


def test_csv_has_the_spread_where_there_are_seeds(result):
    results = [result(share, seed=seed) for seed, share in enumerate((0.4, 0.5))]
    rows = list(csv.DictReader(io.StringIO(comma_separated(pivot(results, scale="")))))
    assert rows == [{"method": "plain", "clean": "45.0", "clean sd": "7.1", "clean mark": ""}]


def test_escaped_text_stays_on_one_line():
    assert markdown_escape("a\n| b") == r"a \| b"
    assert latex_escape("a\n\n b") == "a b"
