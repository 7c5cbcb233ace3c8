"""What the table of a paper says."""

import random
from dataclasses import replace

import numpy as np
import pytest

from robench.report.table import Rank, pivot


def entry(table, method, column):
    at = table.columns.index(column)
    found = [row for rows in table.groups for row in rows if method in row.names]
    assert len(found) == 1
    return found[0].entries[at]


def right(n, *wrong):
    return ~np.isin(np.arange(n), wrong)


def test_columns_are_clean_then_attacks_from_weak_to_strong(grid):
    table = pivot(grid(), scale="quick")
    assert table.columns == ("clean", "pgd 4/255", "pgd 8/255", "autoattack 8/255")


def test_norm_is_said_only_where_it_tells_apart(result):
    results = [
        result(0.9),
        result(0.6, attack="pgd", norm="linf", eps="8/255"),
        result(0.5, attack="pgd", norm="l2", eps="0.5"),
    ]
    assert pivot(results, scale="").columns == ("clean", "pgd linf 8/255", "pgd l2 0.5")


def test_different_numbers_of_images_are_different_columns(result):
    results = [result(0.5, method="a", n=100), result(0.9, method="b", n=10)]
    table = pivot(results, scale="")
    assert table.columns == ("clean (n = 10)", "clean (n = 100)")
    assert entry(table, "a", "clean (n = 10)") is None
    assert entry(table, "b", "clean (n = 10)").rank is Rank.NONE


def test_names_stand_only_where_there_are_several(result, grid):
    assert pivot([result()], scale="").names == ("method",)
    assert pivot(grid(), scale="").names == ("source → target", "method")
    several = [result(encoder="resnet8"), result(encoder="resnet18", probe="linear-sgd")]
    assert pivot(several, scale="").names == ("method", "encoder", "probe")


def test_mean_and_spread_over_seeds(result):
    results = [result(0.4, seed=0), result(0.5, seed=1), result(0.9, method="rocl", seed=0)]
    table = pivot(results, scale="")
    assert entry(table, "plain", "clean").value == pytest.approx(45)
    assert entry(table, "plain", "clean").sd == pytest.approx(np.sqrt(50))
    assert entry(table, "rocl", "clean").sd is None
    assert "over the seeds 0, 1" in table.caption


def test_best_and_what_cannot_be_told_from_it(result):
    # Five images on which only one of the two is right: p = 1/16; six: p = 1/32.
    results = [
        result(right(100), method="best"),
        result(right(100, *range(5)), method="close"),
        result(right(100, *range(6)), method="behind"),
    ]
    table = pivot(results, scale="")
    standings = [entry(table, name, "clean").rank for name in ("best", "close", "behind")]
    assert standings == [Rank.BEST, Rank.TIED, Rank.NONE]
    assert [note.mark for note in table.footnotes] == ["†"]


def test_seeds_count_as_far_as_they_are_about_other_images(result):
    def rivals(*missed):
        return [
            one
            for seed, wrong in enumerate(missed)
            for one in (
                result(right(50), method="best", seed=seed),
                result(right(50, *wrong), method="close", seed=seed),
            )
        ]

    def standing(results):
        return entry(pivot(results, scale=""), "close", "clean").rank

    assert standing(rivals((0, 1, 2))) is Rank.TIED
    assert standing(rivals((0, 1, 2), (3, 4, 5))) is Rank.NONE  # six images: p = 1/32
    assert standing(rivals((0, 1, 2), (0, 1, 2))) is Rank.TIED  # still three: p = 1/4


def test_images_are_matched_by_their_index(result):
    index = np.arange(40)
    outcomes = np.arange(40) >= 7
    results = [
        result(np.append(outcomes, [True] * 8), method="a", index=np.arange(48)),
        result(
            np.append(outcomes[::-1], [False] * 8),
            method="b",
            index=np.append(index[::-1], index[:8] + 99),
        ),
    ]
    # On the 40 common images both are right on the same ones.
    assert entry(pivot(results, scale=""), "b", "clean").rank is Rank.TIED


def test_flagged_values_neither_win_nor_tie(result):
    results = [
        result(0.9, method="suspect", flags=("masked",)),
        result(0.5, method="good"),
        result(0.1, method="bad"),
    ]
    table = pivot(results, scale="")
    assert entry(table, "suspect", "clean").rank is Rank.NONE
    assert entry(table, "suspect", "clean").flags == ("masked",)
    assert entry(table, "good", "clean").rank is Rank.BEST
    ((mark, meaning),) = table.footnotes
    assert (mark, meaning[:29]) == ("a", "flagged: masked (signs of mas")


def test_a_flag_of_one_seed_marks_the_mean(result):
    results = [result(seed=0), result(seed=1, flags=("odd",)), result(0.1, method="b")]
    assert entry(pivot(results, scale=""), "plain", "clean").flags == ("odd",)


def test_a_single_value_wins_nothing_and_equal_values_tie(result):
    assert entry(pivot([result()], scale=""), "plain", "clean").rank is Rank.NONE
    equal = pivot([result(0.0, method="a"), result(0.0, method="b")], scale="")
    assert entry(equal, "a", "clean").rank is Rank.TIED
    assert entry(equal, "b", "clean").rank is Rank.TIED


def test_best_is_of_each_source_and_target(result):
    results = [
        result(0.9, method="a", target="x"),
        result(0.2, method="b", target="x"),
        result(0.3, method="a", target="y"),
        result(0.5, method="b", target="y"),
    ]
    best = [
        row.names
        for rows in pivot(results, scale="").groups
        for row in rows
        if row.entries[0].rank is Rank.BEST
    ]
    assert best == [("shapes10 → x", "a"), ("shapes10 → y", "b")]


def test_caption_says_what_was_measured(result):
    caption = pivot([result(0.5)], scale="quick, 10 epochs").caption
    assert "100 test images, seed 0." in caption
    assert "half width 9.6 points" in caption  # Wilson at 50 of 100: 40.4 to 59.6
    assert "shapes10 → shapes10, encoder resnet8, probe linear." in caption
    assert "Scale: quick, 10 epochs." in caption


def test_table_does_not_depend_on_the_order_given(grid):
    results = grid(seeds=(0, 1), n=60)
    shuffled = random.Random(5).sample(results, len(results))
    assert pivot(results, scale="s") == pivot(shuffled, scale="s")


def test_two_results_for_one_place_are_refused(result):
    first, second = result(), result(0.6)
    assert len(pivot([first, first], scale="").rows) == 1
    other = replace(second, cell=replace(second.cell, key="another"))
    with pytest.raises(ValueError, match=r"another and .* same place of the table"):
        pivot([first, other], scale="")


def test_no_results_are_refused():
    with pytest.raises(ValueError, match="no results to report"):
        pivot([], scale="")
