"""What a reproduction says, over all tables and scales: no mark is lost, and nothing is claimed."""

import re
from pathlib import Path

import numpy as np
import pytest
from made_up import answer, half_right, reproduction, revalued

from robench.grid.questions import Evaluation
from robench.grid.records import Result
from robench.report.published import values
from robench.reproduction import scales, tables
from robench.reproduction.sheet import COLUMNS, comma_separated
from robench.reproduction.text import FULL, REDUCED, markdown

SENTINEL = "77.123"  # no eps, count or p is like it
EVERYWHERE = [(name, scale) for name in tables.names() for scale in scales.SCALES]


@pytest.mark.parametrize(("name", "scale"), EVERYWHERE)
def test_no_unverified_value_is_ever_without_its_mark(
    name: str, scale: str, tmp_path: Path
) -> None:
    published = [v if v.verified else revalued(v, SENTINEL) for v in values()]
    made = reproduction(tmp_path, name, scale, published)
    unverified = sum(1 for line in made.lines if str(line.place.published).startswith(SENTINEL))
    for text in (markdown(made), comma_separated(made)):
        found = re.findall(re.escape(SENTINEL) + "(.?)", text)
        assert set(found) <= {"?"}
        assert len(found) >= unverified
    assert (unverified > 0) == (name != "clae-table2")


@pytest.mark.parametrize(("name", "scale"), EVERYWHERE)
def test_a_difference_from_an_unverified_value_is_marked(
    name: str, scale: str, tmp_path: Path
) -> None:
    lines = comma_separated(reproduction(tmp_path, name, scale)).splitlines()[1:]
    column = COLUMNS.index("difference")
    for line in lines:
        fields = line.split(",")
        if "unverified" in fields and fields[column]:
            assert fields[column].endswith("?")


@pytest.mark.parametrize(("name", "scale"), EVERYWHERE)
def test_only_the_full_scale_speaks_of_published_values(
    name: str, scale: str, tmp_path: Path
) -> None:
    made = reproduction(tmp_path, name, scale)
    text, sheet = markdown(made), comma_separated(made)
    assert (FULL in text, REDUCED in text) == (scale == "full", scale != "full")
    for said in (text.replace(REDUCED, "").replace(FULL, ""), sheet.partition("\n")[2]):
        claims = re.findall(r"reproduced|replicat|confirm|(?:in|above|below) the interval", said)
        assert bool(claims) == (scale == "full" and name == "rocl-table1")
    assert ("Cut for this scale:" in text) == (scale != "full")
    assert "At full scale this table takes about 10.0 h from nothing on cpu" in text


def test_at_full_scale_a_checked_value_lies_somewhere_and_an_unverified_one_does_not(
    tmp_path: Path,
) -> None:
    text = markdown(reproduction(tmp_path, "rocl-table1", "full"))
    rows = {tuple(row.split(" | ")[:3]): row for row in text.splitlines() if row.startswith("| ")}
    assert "| 83.71 | 50.0 | -33.7 |" in rows["| RoCL", "cifar10 → cifar10", "clean"]
    assert rows["| RoCL", "cifar10 → cifar10", "clean"].endswith("| above the interval |")
    inside = rows["| RoCL", "cifar10 → cifar10", "pgd linf 8/255"]
    assert inside.endswith("| in the interval |")
    assert rows["| SimCLR", "cifar10 → cifar10", "clean"].endswith("| ? no statement |")
    supervised = rows["| TRADES", "cifar10 → cifar10", "clean"]
    assert "| 77.03? | not run | – | – | – | – |" in supervised


def test_a_flagged_value_is_not_spoken_of(tmp_path: Path) -> None:
    def plant(evaluation: Evaluation) -> Result:
        return answer(evaluation, np.arange(40) < 30, ("odd",))

    made = reproduction(tmp_path, "rocl-table1", "full", plant=plant)
    assert "no statement (flagged) |" in markdown(made)
    assert all(line.lies is None for line in made.lines)


def test_clae_says_in_words_that_nothing_is_published_here(tmp_path: Path) -> None:
    text = markdown(reproduction(tmp_path, "clae-table2", "cpu-hour"))
    assert "No number of the CLAE paper could be checked against the paper" in text
    assert "so there is no order to hold" in text
    assert "tinyImageNet is not run" in text
    assert "Sources of the published values" not in text


def test_failures_and_flags_are_shown(tmp_path: Path) -> None:
    def plant(evaluation: Evaluation) -> Result | None:
        if evaluation.probing.pretraining.objective.name == "plain":
            return None
        return answer(evaluation, np.arange(40) < 30, ("odd",))

    text = markdown(reproduction(tmp_path, "rocl-transfer", "cpu-hour", plant=plant))
    assert "| SimCLR | cifar10 → cifar100 | clean | – | failed | – |" in text
    assert "| 75.0 (a) |" in text
    assert "- (a) flagged: odd." in text
    assert "No order of methods can be told" in text


def test_several_seeds_have_a_mean_a_deviation_and_the_interval_of_one_more(
    tmp_path: Path,
) -> None:
    def plant(evaluation: Evaluation) -> Result:
        right = 20 + 4 * evaluation.probing.pretraining.seed
        return answer(evaluation, np.arange(40) < right)

    made = reproduction(tmp_path, "rocl-transfer", "cpu-hour", plant=plant, seeds=(0, 1))
    assert made.lines[2].measured is not None
    mean, sd, interval, *_ = vars(made.lines[2].measured).values()
    assert (mean, round(sd, 3)) == (55.0, 7.071)
    assert interval == (0.0, 100.0)  # two trainings say next to nothing of a third
    assert "| 55.0 ± 7.1 |" in markdown(made)
    assert half_right(made.lines[2].place.evaluations[0]).cell.n == 40


def test_the_three_seeds_interval_is_student_s(tmp_path: Path) -> None:
    def plant(evaluation: Evaluation) -> Result:
        return answer(evaluation, np.arange(1000) < 500 + evaluation.probing.pretraining.seed)

    made = reproduction(tmp_path, "rocl-transfer", "cpu-hour", plant=plant, seeds=(0, 10, 20))
    measured = made.lines[2].measured
    assert measured is not None
    half = 4.302653 * 1.0 * (4 / 3) ** 0.5  # t of 2 degrees of freedom, sd 1 point
    assert measured.interval == pytest.approx((51 - half, 51 + half), abs=1e-4)
