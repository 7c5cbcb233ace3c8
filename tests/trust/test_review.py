"""Flags are drawn from evidence: what a cell shows alone, and what shows beside others."""

import dataclasses

import numpy as np
import pytest
from stored import planted

from robench.attacks.pgd import PGD
from robench.catalog.catalog import Catalog
from robench.contracts import Attack
from robench.grid.records import Result
from robench.grid.spec import Spec
from robench.trust.review import flags_together, review

N = 1000
AA = "autoattack(eps=8/255, norm=linf)"


def pgd(eps: str = "8/255", steps: int = 20, step_size: str = "none") -> str:
    return f"pgd(eps={eps}, norm=linf, restarts=1, step_size={step_size}, steps={steps})"


def first(count: int, n: int = N) -> list[bool]:
    """Right about the first ``count`` of ``n`` images."""
    return (np.arange(n) < count).tolist()


def flags(*results: Result) -> list[tuple[str, ...]]:
    return [result.flags for result in review(results, Catalog().attack)]


def test_nothing_wrong_is_no_flag() -> None:
    counts = {"test-images": N, "flat": 0, "unresolved": 0, "recomputed-otherwise": 0, "square": 0}
    clean = planted(first(900), attack="clean", counts={"test-images": N})
    attacked = planted(first(400), attack=pgd(), counts=counts)
    assert flags(clean, attacked, planted(first(350), attack=AA, counts=counts)) == [(), (), ()]


@pytest.mark.parametrize(
    ("notes", "counts", "expected"),
    [
        (("outputs-change", "dynamic"), {}, "random"),
        (("randomized",), {}, "random"),
        (("batch-matters",), {}, "batch"),
        (("no-dlr",), {}, "budget"),
        (("few-steps",), {}, "budget"),
        (("few-queries",), {}, "budget"),
        ((), {"recomputed-otherwise": 1}, "recomputed"),
        ((), {"test-images": N}, ""),
        ((), {"test-images": N + 1}, "subset"),
        (("constant-features",), {}, "collapsed"),
        # Eight one way: p = 2 / 256; seven: 2 / 128; two of a hundred are the line.
        ((), {"held-out": 100, "best-layer-alone": 8, "probe-alone": 0}, "underfitted"),
        ((), {"held-out": 100, "best-layer-alone": 7, "probe-alone": 0}, ""),
        ((), {"held-out": 400, "best-layer-alone": 8, "probe-alone": 0}, ""),
        ((), {"held-out": 100, "best-layer-alone": 0, "probe-alone": 50}, ""),
        ((), {"held-out": 5000, "best-layer-alone": 500, "probe-alone": 390}, "underfitted"),
        ((), {"held-out": 5000, "best-layer-alone": 500, "probe-alone": 410}, ""),
    ],
)
def test_evidence_asks_for_its_flag(
    notes: tuple[str, ...], counts: dict[str, int], expected: str
) -> None:
    one = planted(first(1), notes=notes, counts=counts)
    assert flags(one) == [(expected,) if expected else ()]


# Wilson's lower limit of 7 of 1000 is 0.0034, of 5 0.0021 and of 4 0.0016; of 17 0.0106, 16 0.0099;
# of 29 0.0203 and of 28 0.0194;
# of 64 0.0504 and of 63 0.0496; of 119 0.1004 and of 118 0.0995; of 631 0.6006 and of 630 0.5996.
@pytest.mark.parametrize(
    ("count", "least"),
    [
        ("square", 5),
        *((name, 17) for name in ("flat", "zero-gradients", "unresolved")),
        ("missed-margin", 29),
        *((name, 64) for name in ("missed-grey", "missed-easy")),
        *((name, 119) for name in ("still", "jagged")),
        ("close", 631),
    ],
)
def test_a_share_over_its_line_beyond_sampling_error_is_masked(count: str, least: int) -> None:
    for many, expected in ((least, ("masked",)), (least - 1, ()), (0, ())):
        assert flags(planted(first(500), counts={count: many})) == [expected]


@pytest.mark.parametrize("name", ["noise", "embedding", "transfer"])
def test_what_does_not_mean_to_fool_may_repair(name: str) -> None:
    clean = [i % 10 != 9 for i in range(N)]
    one = planted(first(N), attack=f"{name}(eps=8/255, norm=linf)", clean=clean)
    assert flags(one) == [()]


def test_more_right_attacked_than_clean_is_repaired() -> None:
    clean = first(140)
    assert flags(planted(first(620), clean=clean)) == [("repaired",)]
    assert flags(planted(first(141), clean=clean)) == [("repaired",)]
    assert flags(planted(first(620)[::-1], clean=first(620))) == [()]  # breaks as many
    assert planted(first(620), clean=clean).correct == 140


def test_gradients_count_among_what_was_right_at_first() -> None:
    one = planted(first(500), counts={"flat": 16})
    assert flags(one) == [()]
    wrong = np.where(np.arange(N) < 500, one.outcome.label, -1)
    half = dataclasses.replace(
        one, outcome=dataclasses.replace(one.outcome, clean_prediction=wrong)
    )
    assert flags(half) == [("masked",)]


# --- across cells


def test_autoattack_far_below_pgd_is_a_gap_of_pgd() -> None:
    # Wilson's lower limit of 121 of 1000 is 0.1023, of 118 0.0995.
    autoattack = planted(first(300), attack=AA)
    assert flags(planted(first(421), attack=pgd()), autoattack) == [("gap",), ()]
    assert flags(planted(first(418), attack=pgd()), autoattack) == [(), ()]
    assert flags(planted(first(900), attack=pgd("4/255")), autoattack) == [(), ()]
    assert flags(planted(first(900), "rocl", attack=pgd()), autoattack) == [(), ()]
    assert flags(planted(first(900), attack=pgd(), seed=1), autoattack) == [(), ()]
    assert flags(planted(first(900), attack=pgd(), limit=N), autoattack)[0] == ("gap",)
    for attack, expected in (("apgd-ce", ("gap",)), ("square", ())):  # it has no gradient
        one = planted(first(421), attack=f"{attack}(eps=8/255, norm=linf)")
        assert flags(one, autoattack) == [expected, ()]
    other_ball = planted(first(421), attack="apgd-ce(eps=8/255, norm=l2)")
    assert flags(other_ball, autoattack) == [(), ()]
    strange = planted(first(900), attack="lost(eps=8/255)", counts={"flat": N})
    assert flags(strange, autoattack) == [("masked",), ()]  # not at hand: its own flags alone


def test_a_smaller_radius_must_leave_more() -> None:
    # Eight images one way: p = 2 / 256; seven: 2 / 128.
    small = planted(first(300), attack=pgd("4/255"))
    assert flags(small, planted(first(308), attack=pgd("8/255"))) == [("masked",)] * 2
    assert flags(small, planted(first(307), attack=pgd("8/255"))) == [(), ()]
    assert flags(small, planted(first(292), attack=pgd("8/255"))) == [(), ()]
    other = planted(first(400), attack=AA)
    assert flags(small, other) == [(), ()]


def test_what_betrays_one_radius_makes_the_others_doubtful() -> None:
    series = [
        planted(first(300), attack=pgd("2/255")),
        planted(first(200), attack=pgd("4/255")),
        planted(first(250), attack=pgd("8/255")),
    ]
    others = [
        planted(first(300), attack="clean"),
        planted(first(100), attack=AA),
        planted(first(100), "rocl", attack=pgd("4/255")),
    ]
    assert flags(*series, *others[::2]) == [("masked",)] * 3 + [(), ()]
    assert flags(*series, *others)[:3] == [("masked",), ("masked",), ("gap", "masked")]
    huge = planted(first(100), attack=pgd("0.5"), counts={"missed-grey": 90})
    assert flags(series[0], huge) == [("masked",)] * 2


def test_a_plug_in_that_is_stronger_than_pgd_takes_part() -> None:
    class Stronger(PGD):
        def at_least_as_strong_as(self, other: Attack) -> bool:
            return isinstance(other, PGD) and self.ball == other.ball

    def attack_of(spec: Spec) -> Attack | None:
        return Stronger() if spec.name == "stronger" else Catalog().attack(spec)

    usual = planted(first(421), attack=pgd())
    for left, expected in ((300, [("gap",), ()]), (451, [(), ("masked",)])):
        strong = planted(first(left), attack="stronger(eps=8/255, norm=linf)")
        assert [one.flags for one in review([usual, strong], attack_of)] == expected


def test_an_order_that_raises_is_no_order() -> None:
    class Clumsy(PGD):
        def at_least_as_strong_as(self, other: Attack) -> bool:
            return self.steps >= other.radius  # type: ignore[attr-defined,no-any-return]

    found = [planted(first(400), attack=pgd()), planted(first(500), attack=pgd(steps=30))]
    built = [Clumsy(), PGD(steps=30)]
    assert flags_together(built, found) == [(), ()]


@pytest.mark.parametrize(
    ("shorter", "longer", "expected"),
    [
        (pgd(steps=1), pgd(steps=20), "masked"),
        (pgd(steps=1, step_size="8/255"), pgd(steps=20), "masked"),
        (pgd(steps=20), pgd(steps=100), "masked"),
        (pgd(steps=20), pgd(steps=100, step_size="1e-4"), ""),
        (pgd("4/255", steps=1), pgd("8/255", steps=20), ""),
        (pgd(steps=20), AA, "masked"),
        ("square(eps=8/255, norm=linf)", AA, "masked"),
        ("square(eps=8/255, norm=linf)", pgd(), ""),  # a stronger attack than PGD may be stronger
        (AA, pgd(), ""),
        ("clean", AA, ""),
    ],
)
def test_a_weaker_attack_must_leave_more(shorter: str, longer: str, expected: str) -> None:
    weaker, stronger = planted(first(300), attack=shorter), planted(first(330), attack=longer)
    assert flags(weaker, stronger) == [(), (expected,) if expected else ()]


def test_images_are_matched_by_their_index() -> None:
    index = np.arange(N)
    small = planted(first(300), attack=pgd("4/255"), index=index)
    large = planted(first(300)[::-1], attack=pgd("8/255"), index=index[::-1].copy())
    assert flags(small, large) == [(), ()]
    elsewhere = planted(first(400), attack=pgd("8/255"), index=index + N)
    assert flags(small, elsewhere) == [(), ()]


def test_flags_go_with_their_cause() -> None:
    small, large = (
        planted(first(count), attack=pgd(eps), flags=("odd", "masked"), notes=("few-steps",))
        for eps, count in (("4/255", 100), ("8/255", 200))
    )
    both = review([small, large], Catalog().attack)
    assert [one.flags for one in both] == [("budget", "masked")] * 2
    assert review(both[1:], Catalog().attack)[0].flags == ("budget",)
    assert review(both, Catalog().attack) == both
