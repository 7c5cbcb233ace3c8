"""The table of a paper, as a value."""

import random
from dataclasses import replace

import numpy as np
import pytest
from stored import flagged, grid, planted

from robench.grid.records import Identity
from robench.report.table import Rank, pivot


def table_of(*results):
    return pivot(results, scale="")


def clean(correct, method="plain", **names):
    return planted(correct, method, "clean", **names)


def entry(table, method, column):
    (row,) = (row for row in table.rows if method in row.names)
    return row.entries[table.columns.index(column)]


def right(n, *wrong):
    return ~np.isin(np.arange(n), wrong)


def test_columns_are_clean_then_attacks_from_weak_to_strong():
    assert table_of(*grid(n=100)).columns == ("clean", "pgd 4/255", "pgd 8/255", "autoattack 8/255")


def test_norm_is_said_only_where_it_distinguishes():
    results = [
        clean(0.9),
        planted(0.6, attack="pgd", norm="linf", eps="8/255"),
        planted(0.5, attack="pgd", norm="l2", eps="0.5"),
    ]
    assert table_of(*results).columns == ("clean", "pgd linf 8/255", "pgd l2 0.5")


def test_different_numbers_of_images_are_different_columns():
    table = table_of(clean(0.5, "a", n=100), clean(0.9, "b", n=10))
    assert table.columns == ("clean (n = 10)", "clean (n = 100)")
    assert entry(table, "a", "clean (n = 10)") is None
    assert entry(table, "b", "clean (n = 10)").rank is Rank.NONE


def test_names_stand_only_where_there_are_several():
    assert table_of(clean(0.5)).names == ("method",)
    assert table_of(*grid(n=20)).names == ("source → target", "method")
    several = [clean(0.5), clean(0.5, encoder="resnet18", probe="linear-sgd")]
    assert table_of(*several).names == ("method", "encoder", "probe")


def test_a_row_is_named_by_its_source_then_its_target():
    results = [
        clean(0.4, source="a", target="b"),
        clean(0.7, source="b", target="a"),
        clean(0.9, source="b", target="b"),
    ]
    rows = {row.names[0]: row.entries[0].value for row in table_of(*results).rows}
    assert rows == {"a → b": 40, "b → a": 70, "b → b": 90}
    assert "a → b" in table_of(results[0]).caption


def test_mean_and_spread_over_seeds():
    table = table_of(clean(0.4, seed=0), clean(0.505, n=200, seed=1), clean(0.9, "rocl", n=200))
    assert entry(table, "rocl", "clean (n = 200)").sd is None
    results = [clean(0.403, n=1000), clean(0.504, n=1000, seed=1)]
    number = entry(table_of(*results), "plain", "clean")
    assert number.value == pytest.approx(45.35)  # and no whole number
    assert number.sd == pytest.approx(10.1 / np.sqrt(2))
    assert "over the seeds 0, 1" in table_of(*results).caption


def test_best_and_what_is_not_distinguished_from_it():
    # Five images on which only one of the two is right: p = 1/16; six: p = 1/32.
    table = table_of(
        clean(right(100), "best"),
        clean(right(100, *range(5)), "close"),
        clean(right(100, *range(6)), "behind"),
    )
    ranks = [entry(table, name, "clean").rank for name in ("best", "close", "behind")]
    assert ranks == [Rank.BEST, Rank.TIED, Rank.NONE]
    assert [note.mark for note in table.footnotes] == ["†"]


def test_seeds_count_as_far_as_they_are_about_other_images():
    def rank(*missed):
        rivals = [
            one
            for seed, wrong in enumerate(missed)
            for one in (
                clean(right(50), "best", seed=seed),
                clean(right(50, *wrong), "close", seed=seed),
            )
        ]
        return entry(table_of(*rivals), "close", "clean").rank

    assert rank((0, 1, 2)) is Rank.TIED
    assert rank((0, 1, 2), (3, 4, 5)) is Rank.NONE  # six images: p = 1/32
    assert rank((0, 1, 2), (0, 1, 2)) is Rank.TIED  # still three: p = 1/4


def test_ranks_pair_images_by_index_and_not_by_position():
    index, correct = np.arange(40), np.arange(40) >= 7
    a = clean(np.append(correct, [True] * 8), "a", index=np.arange(48))
    other = np.append(index[::-1], index[:8] + 100)
    b = clean(np.append(correct[::-1], [False] * 8), "b", index=other)
    # On the 40 common images both are right on the same ones.
    assert entry(table_of(a, b), "b", "clean").rank is Rank.TIED
    # b misses the 7 images of a and 6 more, p = 1/32; by position it would be 13 against 7.
    a, b = clean(index >= 7, "a"), clean(index[::-1] >= 13, "b", index=index[::-1])
    assert entry(table_of(a, b), "b", "clean").rank is Rank.NONE


def test_no_tie_is_claimed_on_images_of_other_data():
    close = [clean(right(50), "a", data="x"), clean(right(50, 1), "b", data="x")]
    assert entry(table_of(*close), "b", "clean").rank is Rank.TIED
    close[1] = replace(close[1], cell=replace(close[1].cell, identity=Identity((), "y", ("",))))
    assert entry(table_of(*close), "b", "clean").rank is Rank.NONE


@pytest.mark.parametrize("seed", [0, 1])
def test_a_flag_on_any_seed_takes_the_rank_and_marks_the_mean(seed):
    shares = {"suspect": 0.9, "good": 0.5, "bad": 0.1}
    results = [clean(share, name, seed=s) for name, share in shares.items() for s in (0, 1)]
    results[seed] = flagged(results[seed], "masked")
    table = table_of(*results)
    assert entry(table, "suspect", "clean").rank is Rank.NONE
    assert entry(table, "suspect", "clean").flags == ("masked",)
    assert entry(table, "good", "clean").rank is Rank.BEST
    assert table.letters == {"masked": "a"}
    ((mark, meaning),) = table.footnotes
    assert (mark, meaning[:29]) == ("a", "flagged: masked (signs of mas")


def test_a_single_value_wins_nothing_and_equal_values_tie():
    assert entry(table_of(clean(0.5)), "plain", "clean").rank is Rank.NONE
    equal = table_of(clean(0.0, "a"), clean(0.0, "b"))
    assert entry(equal, "a", "clean").rank is entry(equal, "b", "clean").rank is Rank.TIED
    table = table_of(clean(0.5, "good"), clean(0.5, "suspect", flags=("gap",)), clean(0.1, "bad"))
    ranks = [entry(table, name, "clean").rank for name in ("good", "suspect", "bad")]
    assert ranks == [Rank.BEST, Rank.NONE, Rank.NONE]  # a flagged value does not tie


def test_best_is_of_each_source_and_target():
    shares = {("a", "x"): 0.9, ("b", "x"): 0.2, ("a", "y"): 0.3, ("b", "y"): 0.5}
    table = table_of(*(clean(s, method, target=target) for (method, target), s in shares.items()))
    best = [row.names for row in table.rows if row.entries[0].rank is Rank.BEST]
    assert best == [("shapes10 → x", "a"), ("shapes10 → y", "b")]


def test_caption_says_what_was_measured():
    caption = pivot([clean(0.5)], scale="quick, 10 epochs").caption
    assert "100 test images, seed 0." in caption
    assert "half width 9.6 points" in caption  # Wilson at 50 of 100: 40.4 to 59.6
    assert "shapes10 → shapes10, encoder resnet8, probe linear." in caption
    assert "Scale: quick, 10 epochs." in caption


def test_table_does_not_depend_on_the_order_given_but_on_that_of_the_methods():
    results = grid(seeds=(0, 1), n=60)
    shuffled = random.Random(5).sample(results, len(results))
    assert pivot(results, scale="s") == pivot(shuffled, scale="s")
    rows = pivot(shuffled, scale="s", methods=("rocl", "plain", "clae")).rows
    assert [row.names[1] for row in rows[:3]] == ["rocl", "plain", "clae"]


def test_two_results_for_one_place_are_refused():
    first, second = clean(0.5), clean(0.6)
    assert len(table_of(first, first).rows) == 1
    other = replace(
        second, cell=replace(second.cell, evaluation=replace(second.cell.evaluation, batch=7))
    )
    with pytest.raises(ValueError, match="belong in the same place of the table"):
        table_of(first, other)
