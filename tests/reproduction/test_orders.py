"""Statements about the order of methods, on planted outcomes."""

from pathlib import Path

import numpy as np
import pytest
from made_up import answer, reproduction, revalued

from robench.grid.questions import Evaluation
from robench.grid.records import Result
from robench.report.published import Published, values
from robench.reproduction.orders import Order, Verdict
from robench.reproduction.run import Reproduction
from robench.reproduction.text import markdown

N = 400


def column(
    folder: Path,
    right: dict[str, int],
    published: dict[str, tuple[str, str]],
    flagged: str = "",
) -> Reproduction:
    """Table 1 where the methods are right about so many images of `N`, the first ones."""

    def name(evaluation: Evaluation) -> str:
        if evaluation.probing.probe.name.startswith("robust"):
            return "RoCL+rLE"
        return "SimCLR" if evaluation.probing.pretraining.objective.name == "plain" else "RoCL"

    def plant(evaluation: Evaluation) -> Result:
        flags = ("odd",) if name(evaluation) == flagged else ()
        return answer(evaluation, np.arange(N) < right[name(evaluation)], flags)

    def told(value: Published) -> Published:
        if value.attack != "clean" or value.method not in published:
            return value
        return revalued(value, *published[value.method])

    return reproduction(folder, "rocl-table1", "cpu-hour", [told(v) for v in values()], plant)


def clean(made: Reproduction) -> Order:
    return next(order for order in made.orders if str(order.column) == "clean")


CHECKED = {"SimCLR": ("90", "exact"), "RoCL": ("80", "exact"), "RoCL+rLE": ("70", "secondary")}


@pytest.mark.parametrize(
    ("right", "verdicts"),
    [
        ((300, 250, 200), (Verdict.HELD, Verdict.HELD)),
        ((200, 250, 100), (Verdict.REVERSED, Verdict.HELD)),
        ((252, 250, 248), (Verdict.TIED, Verdict.TIED)),
        ((250, 252, 300), (Verdict.TIED, Verdict.REVERSED)),
        ((250, 250, 250), (Verdict.TIED, Verdict.TIED)),
    ],
)
def test_a_published_order_is_held_reversed_or_not_told_apart(
    right: tuple[int, int, int], verdicts: tuple[Verdict, Verdict], tmp_path: Path
) -> None:
    made = column(tmp_path, dict(zip(CHECKED, right, strict=True)), CHECKED)
    held = clean(made).published
    assert tuple(one.verdict for one in held) == verdicts
    assert all(one.verified for one in held)


def test_equal_values_have_no_order(tmp_path: Path) -> None:
    equal = {**CHECKED, "RoCL": ("90", "exact")}
    made = column(tmp_path, {"SimCLR": 300, "RoCL": 200, "RoCL+rLE": 100}, equal)
    assert [one.verdict for one in clean(made).published] == [Verdict.EQUAL, Verdict.HELD]
    assert "SimCLR 90 = RoCL 90: equal as published" in markdown(made)


def test_a_flagged_value_makes_no_statement(tmp_path: Path) -> None:
    right = {"SimCLR": 300, "RoCL": 200, "RoCL+rLE": 100}
    made = column(tmp_path, right, CHECKED, flagged="SimCLR")
    assert [one.verdict for one in clean(made).published] == [Verdict.FLAGGED, Verdict.HELD]


def test_the_measured_order_is_told_with_p_and_ties(tmp_path: Path) -> None:
    made = column(tmp_path, {"SimCLR": 252, "RoCL": 250, "RoCL+rLE": 240}, CHECKED)
    first, second = clean(made).measured
    assert (first.p, first.tied) == (0.5, True)  # two images differ, both for SimCLR
    assert second.p == pytest.approx(2 * 0.5**10)
    text = markdown(made)
    assert "clean: SimCLR 63.0 ≈ RoCL 62.5 (p = 0.5, a tie) > RoCL+rLE 60.0 (p = 0.002)" in text
    assert "published RoCL 80 > RoCL+rLE 70‡: held (p = 0.002)" in text
    assert "Of 2 orders that rest on checked values: 1 held, 1 not told apart here." in text


def test_an_unverified_order_is_marked_and_counts_for_nothing(tmp_path: Path) -> None:
    doubtful = {**CHECKED, "SimCLR": ("90", "unverified"), "RoCL+rLE": ("70", "unverified")}
    made = column(tmp_path, {"SimCLR": 300, "RoCL": 250, "RoCL+rLE": 200}, doubtful)
    assert [one.verified for one in clean(made).published] == [False, False]
    text = markdown(made)
    assert "published SimCLR 90? > RoCL 80: held (p = 1.8e-15) ?" in text
    assert "No order rests on two checked values. The 14 above have an unverified one" in text
