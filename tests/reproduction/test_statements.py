"""A reproduction's statements, on planted outcomes: no mark is lost, and nothing is claimed."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from stored import planted

from robench.catalog.catalog import Catalog
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
    measured,
    planned,
    texts,
)
from robench.trust.review import review

CATALOG = Catalog()
Plant = Callable[[Evaluation], Result | None]
RANDOM = ("outputs-change",)
SENTINEL = "77.123"  # no eps, count or p is like it
N = 400


def answer(evaluation: Evaluation, correct: Iterable[bool], notes: tuple[str, ...] = ()) -> Result:
    """An evaluation's result that is right about an image where ``correct`` says so."""
    training = evaluation.probing.pretraining
    made = planted(correct, str(training.objective), seed=training.seed, notes=notes)
    cell = dataclasses.replace(made.cell, evaluation=evaluation)
    return dataclasses.replace(made, cell=cell)


def half_right(evaluation: Evaluation) -> Result:
    return answer(evaluation, np.arange(40) % 2 == 0)


@cache
def plan(
    name: str, scale: str, published: tuple[Published, ...], seeds: tuple[int, ...]
) -> Reproduction:
    return planned(name, scale, seeds, CATALOG, published)


def reproduction(
    name: str,
    scale: str,
    published: Iterable[Published] = values(),
    plant: Plant = half_right,
    seeds: Sequence[int] = (0,),
) -> Reproduction:
    made = plan(name, scale, tuple(published), tuple(seeds))
    return measured(made, review(filter(None, map(plant, made.evaluations)), CATALOG.attack))


def revalued(value: Published, number: str, confidence: str | None = None) -> Published:
    changes = {"value": Decimal(number), "confidence": confidence or value.confidence}
    return dataclasses.replace(value, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", names())
def test_no_mark_is_lost_and_only_the_full_scale_makes_statements(name: str, scale: str) -> None:
    known = [v if v.verified else revalued(v, SENTINEL) for v in values()]
    made = reproduction(name, scale, known)
    unverified = sum(1 for place in made.places if str(place.published).startswith(SENTINEL))
    assert (unverified > 0) == (name != "clae-table2")
    text = markdown(made)
    for written in texts(made).values():
        found = re.findall(re.escape(SENTINEL) + "(.?)", written)
        assert set(found) <= {"?"}
        assert len(found) >= unverified
        said = written.replace(REDUCED, "").replace(FULL, "")
        claims = re.findall(r"reproduced|replicat|confirm|(?:in|above|below) the interval", said)
        assert bool(claims) == (scale == "full" and name == "rocl-table1")
    for place in made.places:
        if place.published and place.difference:
            assert place.difference.mark == place.published.mark
    assert (FULL in text, REDUCED in text) == (scale == "full", scale != "full")
    assert ("Reduced for this scale:" in text) == (scale != "full")
    assert ("so no ranking can hold" in text) == (name != "rocl-table1")


def test_at_full_scale_a_checked_value_has_a_position_and_an_unverified_one_has_none() -> None:
    made = reproduction("rocl-table1", "full")
    positions = {(place.row.method, place.column): place.position for place in made.places}
    assert positions["RoCL", "clean"] is Position.ABOVE
    assert positions["RoCL", "pgd linf 8/255"] is Position.INSIDE
    assert positions["SimCLR", "clean"] is Position.UNVERIFIED
    assert positions["TRADES", "clean"] is None
    text = markdown(made)
    row = "| RoCL | cifar10 → cifar10 | clean | 83.71 | 50.0 | -33.7 | 35.2 to 64.8 | 40 |"
    assert f"{row} above the interval |" in text
    assert "| TRADES | cifar10 → cifar10 | clean | 77.03? | not run | – | – | – | – |" in text
    low = [revalued(v, "1") if v.verified else v for v in values()]
    made = reproduction("rocl-table1", "full", low)
    found = {place.position for place in made.places}
    assert found == {Position.BELOW, Position.UNVERIFIED, None}


def test_a_flagged_value_makes_no_statement() -> None:
    def plant(evaluation: Evaluation) -> Result:
        return answer(evaluation, np.arange(40) < 30, RANDOM)

    made = reproduction("rocl-table1", "full", plant=plant)
    positions = {place.position for place in made.places}
    assert positions == {Position.FLAGGED, Position.UNVERIFIED, None}
    assert {check.verdict for check in made.rankings} == {Verdict.FLAGGED}


def test_failures_and_flags_are_shown() -> None:
    def plant(evaluation: Evaluation) -> Result | None:
        if evaluation.probing.pretraining.objective.name == "plain":
            return None
        notes = () if evaluation.attack.name == "clean" else RANDOM
        return answer(evaluation, np.arange(40) < 30, notes)

    text = markdown(reproduction("rocl-transfer", "cpu-hour", plant=plant))
    assert "| SimCLR | cifar10 → cifar100 | clean | – | failed | – |" in text
    assert "| 75.0<sup>a</sup> |" in text
    assert "<sup>a</sup> flagged: random (the model's outputs change" in text
    assert "so no ranking can hold" in text


@pytest.mark.parametrize(
    ("correct", "mean", "sd", "reach"),
    [
        ((500, 600), 55.0, 7.0711, 110.04),  # two trainings say next to nothing of a third
        # t of 2 degrees of freedom, sd 1 point
        ((500, 510, 520), 51.0, 1.0, 4.302653 * (4 / 3) ** 0.5),
    ],
)
def test_several_seeds_have_the_interval_of_one_more_training(
    correct: tuple[int, ...], mean: float, sd: float, reach: float
) -> None:
    def plant(evaluation: Evaluation) -> Result:
        return answer(evaluation, np.arange(1000) < correct[evaluation.probing.pretraining.seed])

    seeds = range(len(correct))
    made = reproduction("rocl-transfer", "cpu-hour", plant=plant, seeds=seeds)
    place = next(place for place in made.places if place.results)
    assert place.measured is not None
    assert (place.measured.value, place.measured.sd) == (mean, pytest.approx(sd, abs=1e-4))
    expected = (max(0, mean - reach), min(100, mean + reach))
    assert place.interval == pytest.approx(expected, abs=1e-3)
    assert f"| {mean} ± {sd:.1f} |" in markdown(made)


# --- rankings of RoCL, SimCLR and RoCL with robust LE in the clean column of table 1

METHODS = ("SimCLR", "RoCL", "RoCL+rLE")
CHECKED = {"SimCLR": ("90", "exact"), "RoCL": ("80", "exact"), "RoCL+rLE": ("70", "secondary")}


def column(
    right: tuple[int, int, int],
    published: dict[str, tuple[str, str]] = CHECKED,
    flagged: str = "",
) -> Reproduction:
    """Table 1 where the `METHODS` are right about so many images of `N`, the first ones."""

    def plant(evaluation: Evaluation) -> Result:
        name = "SimCLR" if evaluation.probing.pretraining.objective.name == "plain" else "RoCL"
        name += "+rLE" if evaluation.probing.probe.name == "robust-linear" else ""
        correct = np.arange(N) < right[METHODS.index(name)]
        return answer(evaluation, correct, RANDOM if name == flagged else ())

    known = [
        revalued(v, *published[v.method]) if v.attack == "clean" and v.method in published else v
        for v in values()
    ]
    return reproduction("rocl-table1", "cpu-hour", known, plant)


def checks(made: Reproduction) -> list[RankingCheck]:
    return [one for one in made.rankings if one.higher.column == "clean"]


EQUAL = {**CHECKED, "RoCL": ("90", "exact")}


@pytest.mark.parametrize(
    ("right", "published", "flagged", "verdicts"),
    [
        ((300, 250, 200), CHECKED, "", [Verdict.HELD, Verdict.HELD]),
        ((200, 250, 100), CHECKED, "", [Verdict.REVERSED, Verdict.HELD]),
        ((252, 250, 248), CHECKED, "", [Verdict.TIED, Verdict.TIED]),
        ((250, 252, 300), CHECKED, "", [Verdict.TIED, Verdict.REVERSED]),
        ((250, 250, 250), CHECKED, "", [Verdict.TIED, Verdict.TIED]),
        ((300, 200, 100), EQUAL, "", [Verdict.EQUAL, Verdict.HELD]),
        ((300, 200, 100), CHECKED, "SimCLR", [Verdict.FLAGGED, Verdict.HELD]),
    ],
)
def test_a_published_ranking_is_held_reversed_or_not_distinguished(
    right: tuple[int, int, int],
    published: dict[str, tuple[str, str]],
    flagged: str,
    verdicts: list[Verdict],
) -> None:
    found = checks(column(right, published, flagged))
    assert [one.verdict for one in found] == verdicts
    assert all(one.verified for one in found)


def test_a_ranking_has_its_p_in_the_table_and_counts_in_the_caption() -> None:
    made = column((252, 250, 240))
    first, second = checks(made)
    assert (first.p, first.verdict) == (0.5, Verdict.TIED)  # two images differ, both for SimCLR
    assert (second.p, second.verdict) == (pytest.approx(2 * 0.5**10), Verdict.HELD)
    text = markdown(made)
    place = "| cifar10 → cifar10 | clean |"
    assert f"{place} SimCLR 90 | RoCL 80 | 0.5 | not distinguished here |" in text
    assert f"{place} RoCL 80 | RoCL+rLE 70‡ | 0.002 | held |" in text
    counts = "2 published rankings rest on two checked values: 1 held, 1 not distinguished here."
    assert counts in text


def test_an_unverified_ranking_is_marked_and_counts_for_nothing() -> None:
    doubtful = {**CHECKED, "SimCLR": ("90", "unverified"), "RoCL+rLE": ("70", "unverified")}
    made = column((300, 250, 200), doubtful)
    assert [one.verified for one in checks(made)] == [False, False]
    text = markdown(made)
    assert "| SimCLR 90? | RoCL 80 | 1.8e-15 | held ? |" in text
    assert "No ranking rests on two checked values. 14 rest on an unverified value" in text
