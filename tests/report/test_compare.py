"""Two methods on planted outcomes: what is paired, what is left out, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from stored import PGD, SQUARE, planted

from robench.catalog.scale import Scale
from robench.grid.spec import SpecError
from robench.report.compare import compare, frame, table
from robench.report.results import Order

A = [1, 1, 1, 1, 0, 0, 1, 0]
B = [1, 0, 0, 1, 0, 1, 0, 0]


def right(n, *wrong):
    return ~np.isin(np.arange(n), wrong)


def by_epochs(result):
    return Scale(f"{result.cell.evaluation.probing.pretraining.recipe.epochs} epochs", "")


def compared(*results, a="plain", b="rocl"):
    return compare(results, a, b, by_epochs)


def test_a_row_has_both_accuracies_their_difference_and_p():
    (row,) = compared(planted(A), planted(B, "rocl")).rows
    assert (row.n, row.seeds) == (8, (0,))
    assert (row.a.value, row.a.sd, row.only_a) == (62.5, None, 3)
    assert (row.b.value, row.b.sd, row.only_b) == (37.5, None, 1)
    assert row.difference == 25.0
    assert row.interval.low < 25 < row.interval.high
    assert row.p == row.p_holm == pytest.approx(10 / 16)
    assert row.question.scale == "1 epochs"
    (turned,) = compared(planted(A), planted(B, "rocl"), a="rocl", b="plain").rows
    assert (turned.difference, turned.p) == (-25.0, row.p)
    more = (planted(A, attack="clean"), planted(B, "rocl", "clean"))
    assert compared(planted(A), planted(B, "rocl"), *more).rows[1].interval == row.interval


def test_a_transfer_and_its_reverse_are_two_questions():
    shares = {("a", "b"): (0.8, 0.3), ("b", "a"): (0.5, 0.6)}
    made = compared(
        *(
            planted(share, method, source=source, target=target)
            for (source, target), both in shares.items()
            for method, share in zip(("plain", "rocl"), both, strict=True)
        )
    )
    rows = {(r.question.source, r.question.target): (r.a.value, r.b.value) for r in made.rows}
    assert rows == {("a", "b"): (80, 30), ("b", "a"): (50, 60)}
    assert [row.names[0] for row in table(made).rows] == ["a → b", "b → a"]


def test_seeds_are_paired_and_have_a_spread():
    (row,) = compared(
        planted(A, seed=0),
        planted(B, seed=1),
        planted(A, seed=5),
        planted(B, "rocl", seed=1),
        planted(A, "rocl", seed=0),
        planted(B, "rocl", seed=7),
    ).rows
    assert row.seeds == (0, 1)
    assert (row.a.value, row.b.value, row.difference) == (50.0, 50.0, 0.0)
    assert row.a.sd == pytest.approx(25 / np.sqrt(2))
    assert (row.only_a, row.only_b, row.p) == (0, 0, 1.0)


def test_cells_without_a_partner_are_counted():
    made = compared(
        planted(A),
        planted(A, seed=1),
        planted(A, attack=SQUARE),
        planted(B, "rocl"),
        planted(B, "rocl", epochs=2),
        planted(B, "clae"),
    )
    assert (len(made.rows), made.left_out) == (1, (2, 1))


def test_the_later_of_two_cells_in_one_place_counts():
    again = "pgd(eps=8/255, norm=linf, steps=20, loss=dlr)"  # of the same label here
    made = compared(
        planted(B, attack=again, finished="2026-01-02T00:00:00+00:00"),
        planted(A),
        planted(B, "rocl"),
    )
    assert made.rows[0].difference == 0.0
    assert made.left_out == (1, 0)


def test_images_are_matched_by_index():
    ours, theirs = np.arange(8), np.array([9, 6, 5, 4, 3, 2, 1, 8])
    (row,) = compared(planted(A, index=ours), planted(B, "rocl", index=theirs)).rows
    # Images 1 to 6: a is right on 1, 2, 3, 6; b by its own order on 4, 2.
    assert row.n == 6
    assert row.a.value == pytest.approx(100 * 4 / 6)
    assert row.b.value == pytest.approx(100 * 2 / 6)
    assert (row.only_a, row.only_b) == (3, 1)


def test_holm_runs_over_all_pairs_of_a_column_of_the_table():
    much, less = [1] * 10 + [0] * 2, [0] * 12
    others = [planted(A, attack=SQUARE), planted(B, "rocl", SQUARE), planted(much, attack="clean")]
    made = compared(planted(much), planted(less, "rocl"), *others, planted(less, "clae"))
    assert [row.question.attack for row in made.rows] == ["pgd", "square"]
    assert [row.p for row in made.rows] == pytest.approx([2 / 1024, 10 / 16])
    # Two pairs: rocl and clae have no image right under PGD, and could not differ.
    assert [row.p_holm for row in made.rows] == pytest.approx([4 / 1024, 10 / 16])
    longer = planted(less, "clae", epochs=7)  # in another table
    assert compared(planted(much), planted(less, "rocl"), longer).rows[0].p_holm == 2 / 1024


def test_what_neither_has_right_has_no_row_and_is_said():
    none = [planted(0.0, method, attack=SQUARE) for method in ("plain", "rocl")]
    made = compared(planted(A), planted(B, "rocl"), *none)
    assert [row.question.attack for row in made.rows] == ["pgd"]
    assert (len(made.cells), made.left_out) == (4, (0, 0))
    assert table(made).notes[0].text == (
        "Left out: 1 row in which neither method has a single image right (Square 8/255)."
    )
    with pytest.raises(SpecError, match="neither plain nor rocl has a single image right"):
        compared(*none)


@pytest.mark.parametrize(
    ("ours", "theirs", "shows", "verdict"),
    [
        (right(100, 0), right(100, *range(8)), 7, "SimCLR better"),
        (right(100, *range(8)), right(100, 0), 7, "RoCL better"),
        (right(100, 0, 1, 2, 3, 4), right(100), 6, "too few images to tell"),
        (right(100, 0, 1, 2), right(100, 3, 4, 5), 6, "no difference found"),
        (right(4), right(4, 0), None, "too few images to tell"),
    ],
)
def test_verdicts_are_in_words_with_the_smallest_difference_that_could_show(
    ours, theirs, shows, verdict
):
    made = compared(planted(ours), planted(theirs, "rocl"))
    *_, shown, words = table(made).rows[0].entries
    assert (shown, words) == (None if shows is None else f"{shows:.1f}", verdict)
    (typed,) = frame(made)["verdict"]
    assert typed == verdict.replace("SimCLR", "plain").replace("RoCL", "rocl")


def test_an_interval_without_0_that_the_correction_does_not_bear_out_takes_more_images():
    # 3 against 13 has p = 0.021, 2 against 14 has 0.004, and there are three pairs.
    ours, theirs = right(100, *range(3)), right(100, *range(3, 16))
    (row,) = compared(planted(ours), planted(theirs, "rocl"), planted(theirs, "clae")).rows
    assert (row.interval.low > 0, row.p_holm > 0.05, row.shows) == (True, True, 12)
    assert row.verdict.value == "too few images to tell"


def test_rows_are_in_the_order_asked():
    results = [planted(A, m, a) for m in ("plain", "rocl") for a in ("clean", SQUARE, PGD)]
    order = Order([replace(results[0].labels, attack=a) for a in ("square", "pgd")])
    made = compare(results, "plain", "rocl", by_epochs, order)
    assert [row.question.attack for row in made.rows] == ["clean", "square", "pgd"]


def test_flags_stay_with_their_method():
    made = compared(planted(A, flags=("gap",)), planted(B, "rocl", flags=("masked", "gap")))
    assert (made.rows[0].a.flags, made.rows[0].b.flags) == (("gap",), ("gap", "masked"))
    (line,) = frame(made).to_dict("records")
    assert (line["flags_a"], line["flags_b"]) == ("gap", "gap;masked")


@pytest.mark.parametrize(
    "theirs",
    [
        planted(B, "rocl", epochs=2),
        planted(B, "rocl", seed=3),
        planted(B, "rocl", attack=SQUARE),
        planted(B, "rocl", index=np.arange(50, 58)),
        planted(B, "rocl", data="other"),
    ],
)
def test_nothing_in_common_says_what_there_is(theirs):
    message = f"plain was run at 1 epochs, seed 0, and rocl was run at {by_epochs(theirs)}, seed "
    with pytest.raises(SpecError, match=f"{message}{theirs.seed}, but never on the same"):
        compared(planted(A), theirs)
