"""Results as a notebook shows them."""

import json
import math
from pathlib import Path

import pytest
from stored import grid, planted

from robench.grid.records import Result
from robench.grid.spec import SpecError
from robench.report.notebook import Results
from robench.report.pivot import pivot
from robench.report.render import html


def results_of(results: list[Result], **more: object) -> Results:
    return Results(tuple(results), (), Path("results/quick"), **more)  # type: ignore[arg-type]


def test_a_repr_says_in_five_lines_what_there_is() -> None:
    many = results_of(grid(seeds=(0, 1)), missing=2, table=pivot(grid(), scale="s"))
    assert repr(many).splitlines() == [
        "Results: 96 cells, 2 missing, in results/quick",
        "  methods  plain, clae, rocl",
        "  data     cifar10 → cifar10, cifar10 → cifar100, cifar100 → cifar10, cifar100 → cifar100",
        "  attacks  clean, PGD-20 4/255, PGD-20 8/255, AutoAttack 8/255",
        "  seeds    0, 1",
    ]
    long = results_of([planted(0.5, f"method{i}") for i in range(99)])
    assert [len(line) <= 100 for line in repr(long).splitlines()] == [True] * 5
    assert len(repr(results_of([])).splitlines()) == 5


def test_a_notebook_shows_the_table() -> None:
    table = pivot(grid(), scale="three <b>epochs</b>")
    shown = results_of(grid(), table=table)._repr_html_()
    assert shown == html(table)
    assert "three &lt;b&gt;epochs&lt;/b&gt;" in shown
    assert "<pre>Results: 1 cell, in" in results_of([planted(0.5)])._repr_html_()


def test_a_frame_has_eps_as_text_and_as_a_number() -> None:
    tidy = results_of(
        [
            planted(0.5, "rocl", "clean"),
            planted(0.25, "rocl", "pgd", norm="linf", eps="8/255"),
            planted(0.25, "rocl", "noise"),  # bounded by nothing
        ]
    ).frame
    assert dict(zip(tidy["attack"], tidy["eps"], strict=True)) == {
        "clean": "", "noise": "", "pgd": "8/255"
    }  # fmt: skip
    values = dict(zip(tidy["attack"], tidy["eps_value"], strict=True))
    assert (values["clean"], values["pgd"]) == (0.0, 8 / 255)
    assert math.isnan(values["noise"])
    assert len(results_of(grid()).frame) == len(grid())


def test_outcomes_have_a_row_for_each_image(tmp_path: Path) -> None:
    two = results_of([planted([1, 0, 1], "rocl", clean=[1, 1, 0]), planted([0, 0, 0], "clae")])
    long = two.outcomes
    assert long["method"].tolist() == ["rocl"] * 3 + ["clae"] * 3
    rocl = long[long["method"] == "rocl"]
    assert rocl["id"].tolist() == [0, 1, 2]
    assert rocl["label"].tolist() == [0, 1, 2]
    assert rocl["clean"].tolist() == [0, 1, 3]
    assert rocl["attacked"].tolist() == [0, 2, 2]
    assert rocl["right"].tolist() == [True, False, False]
    cells = long.groupby("key")["right"].mean()
    assert cells.to_dict() == two.frame.set_index("key")["accuracy"].to_dict()

    long.to_json(tmp_path / "outcomes.jsonl", orient="records", lines=True)
    lines = (tmp_path / "outcomes.jsonl").read_text().splitlines()
    image = json.loads(lines[1])
    assert [image[name] for name in ("id", "label", "clean", "attacked")] == [1, 1, 1, 2]
    assert image["size"] == pytest.approx(8 / 255)
    assert len(lines) == 6


def test_a_plot_is_a_figure_that_a_notebook_shows() -> None:
    results = results_of(grid())
    figure = results.plot("trade_off")
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert figure.axes
    with pytest.raises(SpecError, match="no figure 'tradeoff'; did you mean trade_off"):
        results.plot("tradeoff")
    alone = results_of([one for one in grid() if one.labels.source == one.labels.target])
    with pytest.raises(SpecError, match="nothing to show as 'transfer'"):
        alone.plot("transfer")
