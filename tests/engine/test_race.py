"""Races on planted outcomes: where they stop, what they attack, and how often they are wrong."""

from typing import Any

import numpy as np
import pytest
from stored import planted

from robench.engine import race as racing
from robench.engine.race import Verdict, race
from robench.grid.questions import Evaluation
from robench.grid.records import Labels, Result
from robench.grid.spec import SpecError


class Planted:
    """A bench whose answers are known: each method is right about these images."""

    def __init__(self, right: dict[str, Any]) -> None:
        self.right, self.store, self.asked = right, self, list[tuple[str, int]]()
        made = (planted(right[m][:1], m, norm="linf", eps="8/255") for m in right)
        self.evaluations = [one.cell.evaluation for one in made]

    def labels(self, evaluation: Evaluation) -> Labels:
        return Labels.of(evaluation)

    def data(self, name: Any) -> Any:
        size = len(next(iter(self.right.values())))
        return type("Data", (), {"test": range(size)})

    def answers(self, bench: Any, asked: Any, n: int) -> tuple[list[Result], list[str]]:
        found = []
        for one in asked:
            method = one.probing.pretraining.objective.name
            self.asked.append((method, n))
            found.append(planted(self.right[method][:n], method, norm="linf", eps="8/255"))
        return found, []


def run(
    monkeypatch: pytest.MonkeyPatch, right: dict[str, Any], alpha: float = 0.05
) -> tuple[list[Verdict], Planted]:
    bench = Planted(right)
    monkeypatch.setattr(racing, "answers", bench.answers)
    return list(race(bench, bench.evaluations, None, alpha)), bench  # type: ignore[arg-type]


def test_it_stops_at_the_batch_that_decides_and_says_what_it_saved(monkeypatch: Any) -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(320)
    (verdict,), bench = run(monkeypatch, {"rocl": hard < 0.6, "clae": hard < 0.3})
    assert verdict.decided
    assert (verdict.n, verdict.total) == (64, 320)
    assert verdict.interval.low > 0
    assert sorted(set(bench.asked)) == [("clae", 32), ("clae", 64), ("rocl", 32), ("rocl", 64)]
    text = "rocl above clae after 64 of 320 images (80% of the images saved)"
    assert text in str(verdict)


def test_equal_methods_are_left_undecided_at_the_end(monkeypatch: Any) -> None:
    right = np.random.default_rng(1).random(100) < 0.5
    (verdict,), bench = run(monkeypatch, {"rocl": right, "clae": right})
    assert not verdict.decided
    assert verdict.n == 100
    assert verdict.p == 1
    assert {n for _, n in bench.asked} == {32, 64, 96, 100}


def test_of_three_only_what_is_undecided_is_attacked_on(monkeypatch: Any) -> None:
    hard = np.random.default_rng(2).random(256)
    right = {"plain": hard < 0.02, "clae": hard < 0.6, "rocl": hard < 0.6}
    verdicts, bench = run(monkeypatch, right)
    assert [one.decided for one in verdicts] == [True, True, False]
    last = {method: max(n for m, n in bench.asked if m == method) for method in right}
    assert last["plain"] < last["clae"] == last["rocl"] == 256


def test_without_a_difference_it_decides_no_more_often_than_alpha(monkeypatch: Any) -> None:
    rng, decided = np.random.default_rng(3), 0
    for _ in range(200):
        right = {"rocl": rng.random(320) < 0.4, "clae": rng.random(320) < 0.4}
        decided += run(monkeypatch, right, alpha=0.2)[0][0].decided
    assert decided / 200 <= 0.2


@pytest.mark.parametrize(("methods", "alpha"), [(["rocl"], 0.05), (["rocl", "clae"], 1.0)])
def test_what_is_no_race_is_refused(monkeypatch: Any, methods: list[str], alpha: float) -> None:
    with pytest.raises(SpecError, match=r"a race needs two methods|alpha=1\.0 should be"):
        run(monkeypatch, {method: np.ones(40, bool) for method in methods}, alpha)
