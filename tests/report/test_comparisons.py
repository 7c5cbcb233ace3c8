"""`robench compare` and `robench worst-case` on stored cells, as typed."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from commands import Done, files, robench
from stored import PGD, SQUARE, planted, store_in

from robench.grid.records import Result
from robench.report.render import markdown

OUT = ("--out", "out", "--zoo", "zoo")
PAIR = ("plain", "rocl(steps=10)")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robench.report.render.shown", markdown)  # easier to read than a box
    for stage in ("pretrain", "probe", "evaluate"):
        monkeypatch.setattr(f"robench.engine.bench.{stage}", pytest.fail)


def right(share: float, draw: int, n: int = 400) -> Iterable[bool]:
    """Some images are hard for all; each answer has a little luck of its own."""
    hard = np.random.default_rng(99).uniform(size=n)
    return (hard + 0.05 * np.random.default_rng(draw).normal(size=n) < share).tolist()


def grid(seeds: Iterable[int] = (0, 1, 2)) -> list[Result]:
    levels = {"plain": (0.6, 0.1, 0.2), "rocl(steps=10)": (0.5, 0.4, 0.3)}
    return [
        planted(right(share, 10 * seed + place + len(method)), method, attack, seed=seed)
        for method, shares in levels.items()
        for seed in seeds
        for place, (attack, share) in enumerate(zip(("clean", PGD, SQUARE), shares, strict=True))
    ]


def compare(*words: str) -> Done:
    return robench("compare", *words, *OUT)


def cells(done: Done) -> dict[str, dict[str, str]]:
    """The fields of a printed Markdown table, by the first of each row and its head."""
    lines = [line for line in done.out.splitlines() if line.startswith("|")]
    head, _, *rows = ([field.strip() for field in line.split("|")[1:-1]] for line in lines)
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_the_table_says_what_its_numbers_are() -> None:
    store_in(Path(), grid())
    done = compare(*PAIR)
    assert (done.code, done.err) == (0, "robench: compared 18 cells, made 2026-01-01\n")
    assert done.out.startswith(
        "SimCLR against RoCL (steps=10): accuracy (%) on the same test images. Throughout: data "
        "Shapes-10 → Shapes-10, encoder ResNet-8, probe linear, seeds 0,1,2, images 400, scale 1 "
        "epoch of all images (fp32)"
    )
    assert list(cells(done)) == ["clean", "PGD-20 8/255", "Square 8/255"]
    assert "±" in cells(done)["PGD-20 8/255"]["SimCLR"]
    verdicts = [row["verdict"] for row in cells(done).values()]
    assert verdicts == ["SimCLR better", "RoCL better", "RoCL better"]
    assert "9,999 resamples" in done.out
    assert "Holm's correction for all pairs of rows in the column" in done.out


def test_the_csv_has_the_numbers_of_the_table() -> None:
    store_in(Path(), grid())
    before = files(Path("out"))
    done = compare(*PAIR, "--csv", "made/pair.csv")
    rows = list(csv.DictReader(Path("made/pair.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["attack"] for row in rows] == ["clean", "pgd", "square"]
    for row in rows:
        assert (row["method_a"], row["method_b"]) == PAIR
        assert (row["seeds"], row["n"]) == ("0;1;2", "400")
        gap = float(row["accuracy_a"]) - float(row["accuracy_b"])
        assert float(row["difference"]) == pytest.approx(gap, abs=1e-3)
        assert float(row["ci_low"]) < gap < float(row["ci_high"])
        only = int(row["only_a"]) - int(row["only_b"])
        assert 100 * only / (3 * 400) == pytest.approx(gap, abs=1e-3)
        assert float(row["p"]) <= float(row["p_holm"]) <= 1
        assert f"{float(row['difference']):+.1f}" in done.out
    assert rows[1]["eps"] == "8/255"
    assert files(Path("out")) == before


def test_a_method_may_be_named_in_any_way_that_means_the_same() -> None:
    store_in(Path(), grid([0]))
    plain = compare(*PAIR).out
    assert plain
    assert compare("plain", "rocl( steps = 10.0 )").out == plain
    assert compare("plain", "rocl(steps=10, eps=0.0314)").out == plain


def test_cells_without_partner_are_counted_on_standard_error() -> None:
    store_in(Path(), [*grid(), planted(right(0.3, 0), seed=9)])
    done = compare(*PAIR)
    assert done.err == (
        "robench: compared 18 cells, made 2026-01-01; left out 1 of plain, without a partner, or "
        "with the place of a later one\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("compare", "plane", "clae", *OUT), "method 'plane'; did you mean plain or clae?"),
        (
            ("compare", "plain", "rocl(steps=7)", *OUT),
            "did you mean rocl(steps=10)?",
        ),
        (("compare", "plain", "clae", *OUT), "plain was run at 1 epoch of"),
        (("compare", "plain", "plain", *OUT), "compared with itself"),
        (("compare", "plain", "rocl(", *OUT), "'rocl('; did you mean rocl(steps=10)?"),
        (("compare", "plain", "rocl", "--out", "nowhere"), "no results in nowhere"),
        (("compare", "plain", "rocl", "--preset", "quik"), "no preset 'quik'"),
        (("compare", *PAIR, *OUT, "--csv", "out"), "out: Is a directory"),
        (("compare", *PAIR, *OUT, "--worst-case", "x"), "no stored cells of attack 'x'"),
        (("worst-case", "pgd,sqare", *OUT), "attack 'sqare'; did you mean square?"),
        (("worst-case", "clean,pgd", *OUT), "no model was attacked by all of clean, pgd"),
        (("worst-case", ",", *OUT), "the list is empty"),
    ],
)
def test_what_cannot_be_compared_is_one_line(words: tuple[str, ...], message: str) -> None:
    store_in(Path(), [*grid([0]), planted(right(0.2, 3), "clae", epochs=5)])
    done = robench(*words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


# --- the worst case


def test_the_worst_case_is_a_column_of_the_table() -> None:
    stored = grid()
    store_in(Path(), stored)
    before = files(Path("out"))
    done = robench("worst-case", "pgd,square", *OUT)
    assert done.code == 0
    assert done.err.startswith("robench: reported 18 cells, made 2026-01-01, at 1 epoch of all")
    assert list(cells(done)["SimCLR"])[:2] == ["method", "clean"]
    shown = cells(done)["SimCLR"]["worst of PGD-20, Square 8/255"]
    pairs = [stored[3 * seed + 1 : 3 * seed + 3] for seed in range(3)]
    right_twice = [[one.outcome.prediction == one.outcome.label for one in pair] for pair in pairs]
    both = [np.mean(a & b) for a, b in right_twice]
    expected = f"{100 * np.mean(both):.1f} ± {100 * np.std(both, ddof=1):.1f}"
    assert shown.startswith(expected)
    assert files(Path("out")) == before


def test_methods_are_compared_at_their_worst_and_a_scale_has_a_row_of_its_own() -> None:
    longer = [planted(right(0.5, 1), method, "clean", epochs=7) for method in PAIR]
    store_in(Path(), [*grid([0]), *longer])
    done = compare(*PAIR, "--worst-case", "pgd,square")
    assert done.code == 0
    assert "| 7 epochs of" in done.out
    assert "| worst of PGD-20, Square 8/255 |" in done.out
