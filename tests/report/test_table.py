"""The table of a paper, as a value: its rows, columns, ranks and words."""

import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from stored import examples, flagged, grid, planted

from robench.catalog.scale import Scale
from robench.grid.records import Labels
from robench.report.compare import compare
from robench.report.figures.points import points
from robench.report.pivot import pivot
from robench.report.ranking import Rank
from robench.report.render import comma_separated, markdown
from robench.report.results import Order, frame, told_apart
from robench.report.table import attack_names
from robench.trust.bounds import accuracy_bound
from robench.trust.review import review


def table_of(*results, **words):
    return pivot(results, scale="", **words)


def clean(correct, method="plain", **names):
    return planted(correct, method, "clean", **names)


def entry(table, method, column="clean"):
    (row,) = (row for row in table.rows if method in row.names)
    return row.entries[table.headings.index(column)]


def rank(table, method):
    standing = entry(table, method).standing
    return standing and standing.rank


def ranks(table, *methods):
    return [(one.first, one.last) for one in (entry(table, m).standing for m in methods)]


def right(n, *wrong):
    return ~np.isin(np.arange(n), wrong)


# --- rows, columns and their order


def asked(*attacks, method="plain"):
    return [Labels(method, "shapes10", "shapes10", "resnet8", "linear", one) for one in attacks]


def test_columns_are_clean_then_attacks_as_asked_by_norm_and_radius():
    results = grid(n=20)
    by_name = ("clean", "AutoAttack 8/255", "PGD-20 4/255", "PGD-20 8/255")
    assert table_of(*results).headings == by_name
    order = Order(asked("clean", "pgd", "autoattack"))
    assert table_of(*results, order=order).headings == (*by_name[:1], *by_name[2:], by_name[1])
    balls = (("l2", "0.5"), ("linf", "16/255"), ("linf", "8/255"))
    several = [clean(0.9), *(planted(0.5, attack="pgd", norm=norm, eps=e) for norm, e in balls)]
    assert table_of(*several).headings == (
        "clean", "PGD-20 L∞ 8/255", "PGD-20 L∞ 16/255", "PGD-20 L2 0.5"
    )  # fmt: skip


def test_rows_are_as_asked_whatever_the_order_given():
    results = grid(seeds=(0, 1), n=30)
    shuffled = random.Random(5).sample(results, len(results))
    assert pivot(results, scale="s") == pivot(shuffled, scale="s")
    order = Order(
        Labels(method, source, target, "", "", "")
        for source in ("cifar100", "cifar10")
        for method in ("rocl", "plain")
        for target in ("cifar10", "cifar100")
    )
    rows = [row.names for row in pivot(shuffled, scale="s", order=order).rows]
    assert [names[1] for names in rows[:3]] == ["RoCL", "SimCLR", "CLAE"]
    assert [names[0] for names in rows[::3]] == [
        "CIFAR-100 → CIFAR-10",
        "CIFAR-100 → CIFAR-100",
        "CIFAR-10 → CIFAR-10",
        "CIFAR-10 → CIFAR-100",
    ]  # fmt: skip


def test_different_numbers_of_images_of_one_set_are_different_columns():
    results = [clean(0.5, "a", n=100), clean(0.9, "b", n=10)]
    table = table_of(*results)
    assert table.columns == ("clean (n = 10)", "clean (n = 100)")
    assert entry(table, "a", "clean (n = 10)") is None
    assert entry(table, "b", "clean (n = 10)").standing is None
    transfer = table_of(results[0], clean(0.9, "a", n=10, target="other"))
    assert transfer.columns == ("clean",)
    assert "10 and 100 test images" in transfer.caption


def test_two_data_hashes_never_share_a_row():
    old = [clean(1.0, data="old"), planted(1.0, data="old")]
    results = told_apart([*old, planted(0.1, eps="4/255", norm="linf", data="new")])
    rows = {row.names[0]: row.entries for row in table_of(*results).rows}
    assert set(rows) == {"Shapes-10 → Shapes-10 [old]", "Shapes-10 → Shapes-10 [new]"}
    for entries in rows.values():
        assert None in entries
    assert told_apart(old) == old


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


def test_an_imported_encoder_is_named_so_beside_those_of_the_target_s_data():
    names = [("a", "plain"), ("imported", "rocl/file"), ("b", "plain")]
    right = [np.arange(100) < share for share in (20, 90, 30)]
    results = [
        clean(each, name, source=source, target=target)
        for target in "ab"
        for each, (source, name) in zip(right, names, strict=True)
    ]
    table = table_of(*results)
    groups = [[row.names for row in group] for group in table.groups]
    assert groups == [
        [("a → a", "SimCLR"), ("imported → a", "rocl/file")],
        [("a → b", "SimCLR")],
        [("b → a", "SimCLR")],
        [("b → b", "SimCLR"), ("imported → b", "rocl/file")],
    ]
    best = [row.entries[0].standing.rank for group in table.groups[::3] for row in group]
    assert best == [Rank.NONE, Rank.BEST] * 2
    rows = compare(results, "plain", "rocl/file", lambda _: Scale("", "")).rows
    pairs = [(row.question.source, row.question.target, row.difference) for row in rows]
    assert pairs == [("a and imported", "a", -70), ("b and imported", "b", -60)]
    assert set(frame(results)["source"]) == {"a", "b", "imported"}
    shown = points(frame([one for one in results if one.labels.source != "b"][:2]))
    assert (set(shown["source"]), shown["transfer"].any()) == ({"a"}, False)


# --- numbers


def test_robust_is_right_on_the_clean_image_and_on_the_attacked_one():
    clean_right = [i < 14 for i in range(100)]
    repaired = planted([10 <= i < 72 for i in range(100)], clean=clean_right)
    assert table_of(repaired).rows[0].entries[0].value == 4  # and not 62


def test_mean_and_spread_over_seeds():
    results = [clean(0.403, n=1000), clean(0.504, n=1000, seed=1), clean(0.9, "rocl", n=1000)]
    table = table_of(*results)
    number = entry(table, "SimCLR")
    assert number.value == pytest.approx(45.35)  # and no whole number
    assert number.sd == pytest.approx(10.1 / np.sqrt(2))
    assert entry(table, "RoCL").sd is None
    assert "mean ± standard deviation over 2 seeds (0, 1)" in table.caption
    assert [note.text for note in table.notes] == ["Some numbers are of fewer seeds (0: RoCL)."]
    assert "Wilson intervals of numbers of one seed: half width 1.9 points" in table.caption
    assert "Wilson" not in table_of(*results[:2]).caption


def test_caption_says_what_was_measured():
    caption = pivot([clean(0.5, n=1000)], scale="quick, 10 epochs").caption
    assert "1,000 test images, seed 0." in caption
    assert "half width 3.1 points" in caption  # Wilson at 500 of 1000: 46.9 to 53.1
    assert "Clean accuracy (%): Shapes-10 → Shapes-10, ResNet-8, linear probe, " in caption
    assert "Scale: quick, 10 epochs." in caption


def test_fewer_images_are_said_once_and_disqualify_nobody():
    results = [
        clean(share, name, flags=("subset",), counts={"test-images": 10_000})
        for name, share in (("a", 0.9), ("b", 0.89), ("c", 0.1))
    ]
    table = table_of(*results)
    assert [rank(table, name) for name in "abc"] == [Rank.BEST, Rank.TIED, Rank.NONE]
    assert "100 of 10,000 test images" in table.caption
    assert not any("subset" in note.text for note in table.footnotes())


def test_a_control_that_should_fall_to_0_and_did_not_is_pointed_out():
    def notes(*results):
        return [note.text for note in table_of(*results).notes]

    def attacked(share, method, eps="128/255", norm="linf"):
        return planted(share, method, "pgd", norm=norm, eps=eps)

    assert notes(attacked(0.0, "a"), attacked(0.5, "b", "127/255")) == []
    (note,) = notes(attacked(0.0, "a"), attacked(0.03, "b"))
    assert "plain grey" in note
    assert "b under PGD-20 128/255." in note
    pixels = examples().load_pictures  # 3 x 8 x 8: grey is within 6.93 of every image
    for eps, expected in (("7", 1), ("6.9", 0)):
        one = replace(attacked(0.5, "a", eps, "l2"), load_pictures=pixels)
        assert len(notes(one)) == expected


# --- ranks: one test, one correction, one family


def test_best_and_what_is_not_distinguished_from_it():
    # Six images on which only one of the two is right: p = 1/32; with Holm over three pairs, eight
    # are needed: p = 1/128.
    def table(*missed):
        names = ("best", "close", "behind")
        return table_of(
            *(clean(right(100, *range(m)), n) for m, n in zip(missed, names, strict=False))
        )

    both = table(0, 5)
    assert (rank(both, "best"), rank(both, "close")) == (Rank.BEST, Rank.TIED)
    assert ranks(both, "best", "close") == [(1, 2), (1, 2)]
    (note,) = both.footnotes()
    assert note.text.startswith("Bold: best of its column; †: tied with the best (exact McNemar")
    assert rank(table(0, 6), "close") is Rank.NONE
    three = table(0, 6, 14)
    assert ranks(three, "best", "close", "behind") == [(1, 1), (2, 2), (3, 3)]
    three = table(0, 7, 8)
    assert [rank(three, n) for n in ("close", "behind")] == [Rank.NONE, Rank.NONE]
    assert ranks(three, "best", "close", "behind") == [(1, 1), (2, 3), (2, 3)]
    assert three.footnotes("*")[0].text.startswith("*: best of its column; #: the ranks that")
    shown = [str(entry(three, name).standing) for name in ("best", "close")]
    assert shown == ["#1", "#2-3"]
    three = table(0, 5, 10)  # the second is as near to the best as to the last
    assert [rank(three, n) for n in ("close", "behind")] == [Rank.TIED, Rank.NONE]
    assert ranks(three, "best", "close", "behind") == [(1, 2), (1, 3), (2, 3)]


def test_ties_of_the_table_and_of_compare_are_the_same():
    methods = ("a", "b", "c", "d")
    results = grid(methods=methods, datasets=("cifar10",), seeds=(0, 1), n=120)
    table = table_of(*results)
    seen = set()
    for a, b in combinations(methods, 2):
        for row in compare(results, a, b, lambda _: Scale("", "")).rows:
            (column,) = attack_names([row.question[5:]])
            standings = {m: entry(table, m, column).standing for m in methods}
            if standings[a].rank is Rank.BEST:
                tied = standings[b].rank is Rank.TIED
                assert tied == (row.p_holm > 0.05)
                seen.add((tied, row.p <= 0.05 < row.p_holm))
            assert row.p <= row.p_holm
    assert {tied for tied, _ in seen} == {True, False}


def test_seeds_count_as_far_as_they_are_about_other_images():
    def close(*missed):
        rivals = [
            one
            for seed, wrong in enumerate(missed)
            for one in (
                clean(right(50), "best", seed=seed),
                clean(right(50, *wrong), "close", seed=seed),
            )
        ]
        return rank(table_of(*rivals), "close")

    assert close((0, 1, 2)) is Rank.TIED
    assert close((0, 1, 2), (3, 4, 5)) is Rank.NONE  # six images: p = 1/32
    assert close((0, 1, 2), (0, 1, 2)) is Rank.TIED  # still three: p = 1/4


def test_ranks_pair_images_by_index_and_not_by_position():
    index, correct = np.arange(40), np.arange(40) >= 7
    a = clean(np.append(correct, [True] * 8), "a", index=np.arange(48))
    other = np.append(index[::-1], index[:8] + 100)
    b = clean(np.append(correct[::-1], [False] * 8), "b", index=other)
    # On the 40 common images both are right on the same ones.
    assert rank(table_of(a, b), "b") is Rank.TIED
    # b misses the 7 images of a and 6 more, p = 1/32; by position it would be 13 against 7.
    a, b = clean(index >= 7, "a"), clean(index[::-1] >= 13, "b", index=index[::-1])
    assert rank(table_of(a, b), "b") is Rank.NONE


def test_no_tie_is_claimed_where_no_seed_is_shared():
    table = table_of(clean(right(50), "a"), clean(right(50, 1), "b", seed=1))
    assert rank(table, "b") is Rank.NONE
    assert ranks(table, "a", "b") == [(1, 2), (1, 2)]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_flag_on_any_seed_takes_the_rank_and_marks_the_mean(seed):
    shares = {"suspect": 0.9, "good": 0.5, "bad": 0.1}
    results = [clean(share, name, seed=s) for name, share in shares.items() for s in (0, 1)]
    results[seed] = flagged(results[seed], "masked")
    table = table_of(*results)
    assert (rank(table, "suspect"), rank(table, "good")) == (None, Rank.BEST)
    assert entry(table, "suspect").flags == ("masked",)
    assert table.letters == {"masked": "a"}
    mark, meaning = table.footnotes()[-1]
    assert (mark, meaning[:29]) == ("a", "flagged: masked (signs of mas")


def test_a_single_value_wins_nothing_and_equal_values_tie():
    assert rank(table_of(clean(0.5)), "SimCLR") is None
    equal, none = (table_of(clean(share, "a"), clean(share, "b")) for share in (0.1, 0.0))
    assert rank(equal, "a") is rank(equal, "b") is Rank.TIED
    assert rank(none, "a") is rank(none, "b") is None
    table = table_of(clean(0.5, "good"), clean(0.5, "suspect", flags=("gap",)), clean(0.1, "bad"))
    assert [rank(table, name) for name in ("good", "suspect", "bad")] == [
        Rank.BEST, None, Rank.NONE  # a flagged value does not tie
    ]  # fmt: skip


def test_best_is_of_each_source_and_target():
    shares = {("a", "x"): 0.9, ("b", "x"): 0.2, ("a", "y"): 0.3, ("b", "y"): 0.5}
    table = table_of(*(clean(s, method, target=target) for (method, target), s in shares.items()))
    best = [row.names for row in table.rows if row.entries[0].standing.rank is Rank.BEST]
    assert best == [("Shapes-10 → x", "a"), ("Shapes-10 → y", "b")]


def test_a_bound_is_two_numbers_and_has_no_rank():
    def sampled(untried, method):
        one = planted(0.5, method, "autoattack(sample=20)", norm="linf", eps="8/255")
        one.outcome.fooled_by[50 - untried : 50] = -2
        return review([one], lambda spec: None)[0]

    known = planted(0.4, "rocl", "autoattack(sample=20)", norm="linf", eps="8/255")
    table = table_of(sampled(30, "plain"), known)
    one = entry(table, "SimCLR", "AutoAttack (sample=20) 8/255")
    low, high = accuracy_bound(sampled(30, "plain").outcome)
    assert (one.least, one.value, one.flags) == (100 * low, 100 * high, ("bound",))
    assert one.standing is None
    assert f"between {100 * low:.1f} and {100 * high:.1f}" in markdown(table)
    assert f"{100 * low:.1f} to {100 * high:.1f}" in comma_separated(table)
    assert "at 95%" in markdown(table)
    assert entry(table, "RoCL", "AutoAttack (sample=20) 8/255").least is None
    assert (
        entry(table_of(sampled(0, "plain")), "SimCLR", "AutoAttack (sample=20) 8/255").flags == ()
    )
