"""A reproduction's statements, on planted outcomes: no mark is lost, and nothing is claimed."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch
from stored import planted

from robench.catalog.catalog import Catalog
from robench.engine.bench import Bench
from robench.engine.progress import silent
from robench.grid.questions import Evaluation
from robench.grid.records import Result
from robench.papers import SCALES, names
from robench.report.published import Published, values
from robench.reproduction import (
    FULL,
    REDUCED,
    Position,
    RankingCheck,
    Reproduction,
    Verdict,
    markdown,
    planned,
    reproduce,
    texts,
)
from robench.store.store import Store

CATALOG = Catalog()
Plant = Callable[[Evaluation], Result | None]


def answer(evaluation: Evaluation, correct: Iterable[bool], notes: tuple[str, ...] = ()) -> Result:
    """An evaluation's result that is right about an image where ``correct`` says so."""
    training = evaluation.probing.pretraining
    made = planted(correct, str(training.objective), seed=training.seed, notes=notes)
    return Result(dataclasses.replace(made.cell, evaluation=evaluation), made.outcome)


def half_right(evaluation: Evaluation) -> Result:
    """An answer for evaluations whose outcome does not matter."""
    return answer(evaluation, np.arange(40) % 2 == 0)


class Planted(Bench):
    """A bench that makes its answers up."""

    plant: Plant = staticmethod(half_right)

    def answers(self, evaluations: Sequence[Evaluation], limit: int | None) -> Iterator[Result]:
        """What was planted, where anything was."""
        found = (self.plant(evaluation) for evaluation in evaluations)
        return (result for result in found if result is not None)


def reproduction(
    folder: Path,
    name: str,
    scale: str,
    published: Sequence[Published] | None = None,
    plant: Plant = half_right,
    seeds: Sequence[int] = (0,),
) -> Reproduction:
    """A table at a scale, with planted answers."""
    made = planned(name, scale, seeds, CATALOG, values() if published is None else published)
    store = Store(folder / "out", folder / "zoo", print)
    bench = Planted(CATALOG, store, folder, torch.device("cpu"), silent, print)
    bench.plant = plant
    return reproduce(made, bench)


def revalued(value: Published, number: str, confidence: str | None = None) -> Published:
    """The value with another number, and another confidence where one is given."""
    changes = {"value": Decimal(number), "confidence": confidence or value.confidence}
    return dataclasses.replace(value, **changes)  # type: ignore[arg-type]


SENTINEL = "77.123"  # no eps, count or p is like it
EVERYWHERE = [(name, scale) for name in names() for scale in SCALES]
N = 400


@pytest.mark.parametrize(("name", "scale"), EVERYWHERE)
def test_no_unverified_value_is_ever_without_its_mark(
    name: str, scale: str, tmp_path: Path
) -> None:
    published = [v if v.verified else revalued(v, SENTINEL) for v in values()]
    made = reproduction(tmp_path, name, scale, published)
    unverified = sum(1 for place in made.places if str(place.published).startswith(SENTINEL))
    for text in texts(made).values():
        found = re.findall(re.escape(SENTINEL) + "(.?)", text)
        assert set(found) <= {"?"}
        assert len(found) >= unverified
    assert (unverified > 0) == (name != "clae-table2")
    for place in made.places:
        if place.published and place.difference:
            assert place.difference.mark == place.published.mark


@pytest.mark.parametrize(("name", "scale"), EVERYWHERE)
def test_only_the_full_scale_makes_statements_on_published_values(
    name: str, scale: str, tmp_path: Path
) -> None:
    written = texts(reproduction(tmp_path, name, scale))
    text = written["reproduction.md"]
    assert (FULL in text, REDUCED in text) == (scale == "full", scale != "full")
    written["reproduction.md"] = text.replace(REDUCED, "").replace(FULL, "")
    for part in written.values():
        claims = re.findall(r"reproduced|replicat|confirm|(?:in|above|below) the interval", part)
        assert bool(claims) == (scale == "full" and name == "rocl-table1")
    assert ("Reduced for this scale:" in text) == (scale != "full")


def test_at_full_scale_a_checked_value_has_a_position_and_an_unverified_one_has_none(
    tmp_path: Path,
) -> None:
    made = reproduction(tmp_path, "rocl-table1", "full")
    positions = {(place.row.method, place.column): place.position for place in made.places}
    assert positions["RoCL", "clean"] is Position.ABOVE
    assert positions["RoCL", "pgd linf 8/255"] is Position.INSIDE
    assert positions["SimCLR", "clean"] is Position.UNVERIFIED
    assert positions["TRADES", "clean"] is None
    rows = {tuple(row.split(" | ")[:3]): row for row in markdown(made).splitlines()}
    row = rows["| RoCL", "cifar10 → cifar10", "clean"]
    assert "| 83.71 | 50.0 | -33.7 | 35.2 to 64.8 | 40 |" in row
    assert row.endswith("| above the interval |")
    row = rows["| TRADES", "cifar10 → cifar10", "clean"]
    assert row.endswith("| 77.03? | not run | – | – | – | – |")


def test_a_published_value_below_the_interval_is_found(tmp_path: Path) -> None:
    low = [revalued(v, "1") if v.verified else v for v in values()]
    made = reproduction(tmp_path, "rocl-table1", "full", low)
    positions = {place.position for place in made.places}
    assert positions == {Position.BELOW, Position.UNVERIFIED, None}


def test_a_flagged_value_makes_no_statement(tmp_path: Path) -> None:
    def plant(evaluation: Evaluation) -> Result:
        return answer(evaluation, np.arange(40) < 30, ("outputs-change",))

    made = reproduction(tmp_path, "rocl-table1", "full", plant=plant)
    assert {place.position for place in made.places} == {
        Position.FLAGGED,
        Position.UNVERIFIED,
        None,
    }
    assert {check.verdict for check in made.rankings} == {Verdict.FLAGGED}


def test_clae_has_no_published_values(tmp_path: Path) -> None:
    text = markdown(reproduction(tmp_path, "clae-table2", "cpu-hour"))
    assert "No number of the CLAE paper could be checked against the paper" in text
    assert "so no ranking can hold" in text
    assert "tinyImageNet is not run" in text
    assert "Sources of the published values" not in text


def test_failures_and_flags_are_shown(tmp_path: Path) -> None:
    def plant(evaluation: Evaluation) -> Result | None:
        if str(evaluation.probing.pretraining.objective).startswith("plain"):
            return None
        attacked = not str(evaluation.attack).startswith("clean")
        return answer(evaluation, np.arange(40) < 30, ("outputs-change",) if attacked else ())

    text = markdown(reproduction(tmp_path, "rocl-transfer", "cpu-hour", plant=plant))
    assert "| SimCLR | cifar10 → cifar100 | clean | – | failed | – |" in text
    assert "| 75.0<sup>a</sup> |" in text
    assert "<sup>a</sup> flagged: random (the model's outputs change" in text
    assert "There is no ranking of methods" in text


@pytest.mark.parametrize(
    ("correct", "seeds", "mean", "sd", "reach"),
    [
        ((20, 24), (0, 1), 55.0, 7.0711, 110.04),  # two trainings say next to nothing of a third
        # t of 2 degrees of freedom, sd 1 point
        ((20, 20.4, 20.8), (0, 1, 2), 51.0, 1.0, 4.302653 * (4 / 3) ** 0.5),
    ],
)
def test_several_seeds_have_the_interval_of_one_more_training(
    correct: tuple[float, ...],
    seeds: tuple[int, ...],
    mean: float,
    sd: float,
    reach: float,
    tmp_path: Path,
) -> None:
    def plant(evaluation: Evaluation) -> Result:
        right = correct[evaluation.probing.pretraining.seed] * 25
        return answer(evaluation, np.arange(1000) < right)

    made = reproduction(tmp_path, "rocl-transfer", "cpu-hour", plant=plant, seeds=seeds)
    place = next(place for place in made.places if place.results)
    assert place.measured is not None
    assert (place.measured.value, place.measured.sd) == (mean, pytest.approx(sd, abs=1e-4))
    expected = (max(0, mean - reach), min(100, mean + reach))
    assert place.interval == pytest.approx(expected, abs=1e-3)
    assert f"| {mean} ± {sd:.1f} |" in markdown(made)


# --- rankings


def column(
    folder: Path,
    right: dict[str, int],
    published: dict[str, tuple[str, str]],
    flagged: str = "",
) -> Reproduction:
    """Table 1 where the methods are right about so many images of `N`, the first ones."""

    def name(evaluation: Evaluation) -> str:
        if str(evaluation.probing.probe).startswith("robust"):
            return "RoCL+rLE"
        return "SimCLR" if "plain" in str(evaluation.probing.pretraining.objective) else "RoCL"

    def plant(evaluation: Evaluation) -> Result:
        notes = ("outputs-change",) if name(evaluation) == flagged else ()
        return answer(evaluation, np.arange(N) < right[name(evaluation)], notes)

    def changed(value: Published) -> Published:
        if value.attack != "clean" or value.method not in published:
            return value
        return revalued(value, *published[value.method])

    return reproduction(folder, "rocl-table1", "cpu-hour", [changed(v) for v in values()], plant)


def checks(made: Reproduction, *, published: bool = True) -> list[RankingCheck]:
    return [
        one for one in made.rankings if one.published == published and one.higher.column == "clean"
    ]


CHECKED = {"SimCLR": ("90", "exact"), "RoCL": ("80", "exact"), "RoCL+rLE": ("70", "secondary")}


@pytest.mark.parametrize(
    ("right", "verdicts"),
    [
        ((300, 250, 200), [Verdict.HELD, Verdict.HELD]),
        ((200, 250, 100), [Verdict.REVERSED, Verdict.HELD]),
        ((252, 250, 248), [Verdict.TIED, Verdict.TIED]),
        ((250, 252, 300), [Verdict.TIED, Verdict.REVERSED]),
        ((250, 250, 250), [Verdict.TIED, Verdict.TIED]),
    ],
)
def test_a_published_ranking_is_held_reversed_or_not_distinguished(
    right: tuple[int, int, int], verdicts: list[Verdict], tmp_path: Path
) -> None:
    found = checks(column(tmp_path, dict(zip(CHECKED, right, strict=True)), CHECKED))
    assert [one.verdict for one in found] == verdicts
    assert all(one.verified for one in found)


def test_equal_values_have_no_ranking(tmp_path: Path) -> None:
    equal = {**CHECKED, "RoCL": ("90", "exact")}
    made = column(tmp_path, {"SimCLR": 300, "RoCL": 200, "RoCL+rLE": 100}, equal)
    assert [one.verdict for one in checks(made)] == [Verdict.EQUAL, Verdict.HELD]


def test_a_flagged_value_is_in_no_ranking(tmp_path: Path) -> None:
    right = {"SimCLR": 300, "RoCL": 200, "RoCL+rLE": 100}
    made = column(tmp_path, right, CHECKED, flagged="SimCLR")
    assert [one.verdict for one in checks(made)] == [Verdict.FLAGGED, Verdict.HELD]


def test_the_measured_ranking_has_p_and_ties(tmp_path: Path) -> None:
    made = column(tmp_path, {"SimCLR": 252, "RoCL": 250, "RoCL+rLE": 240}, CHECKED)
    first, second = checks(made, published=False)
    assert (first.p, first.verdict) == (0.5, Verdict.TIED)  # two images differ, both for SimCLR
    assert (second.p, second.verdict) == (pytest.approx(2 * 0.5**10), Verdict.HELD)
    text = markdown(made)
    names = "| cifar10 → cifar10 | clean |"
    assert f"{names} measured | SimCLR 63.0 | RoCL 62.5 | 0.5 | not distinguished here |" in text
    assert f"{names} published | RoCL 80 | RoCL+rLE 70‡ | 0.002 | held |" in text
    summary = "2 published rankings rest on two checked values: 1 held, 1 not distinguished here."
    assert summary in text


def test_an_unverified_ranking_is_marked_and_counts_for_nothing(tmp_path: Path) -> None:
    doubtful = {**CHECKED, "SimCLR": ("90", "unverified"), "RoCL+rLE": ("70", "unverified")}
    made = column(tmp_path, {"SimCLR": 300, "RoCL": 250, "RoCL+rLE": 200}, doubtful)
    assert [one.verified for one in checks(made)] == [False, False]
    text = markdown(made)
    assert "published | SimCLR 90? | RoCL 80 | 1.8e-15 | held ? |" in text
    assert "No ranking rests on two checked values. 14 rest on an unverified value" in text
