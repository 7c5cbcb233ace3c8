"""The table of mean accuracies under corruptions, from planted outcomes."""

import pytest
from stored import planted

from robench.attacks.corruption import EXTRA, KINDS
from robench.report.corruptions import corruption_table


def under(kind, severity, correct, **names):
    return planted(correct, attack=f"corruption(kind={kind}, severity={severity})", **names)


def test_means_are_over_the_15_and_empty_where_one_is_missing():
    found = [under(k, s, s / 10 + 0.01 * i) for i, k in enumerate(KINDS) for s in range(1, 5)]
    found += [under(kind, 5, 0.0) for kind in KINDS[1:]]
    found += [under(kind, 1, 0.0) for kind in EXTRA]
    table = corruption_table(found)
    (row,) = table.rows
    assert [one and one.value for one in row.entries] == [
        *(pytest.approx(10 * s + 7) for s in range(1, 5)), None, None
    ]  # fmt: skip
    assert "100 test images" in table.caption


def test_two_seeds_have_a_mean_and_a_deviation():
    found = [under(k, 1, share, seed=n) for k in KINDS for n, share in enumerate((0.2, 0.4))]
    number = corruption_table(found).rows[0].entries[0]
    assert (number.value, number.sd) == (pytest.approx(30), pytest.approx(200**0.5))


def test_without_corruptions_there_is_no_table():
    with pytest.raises(ValueError, match="no results of the attack corruption"):
        corruption_table([planted(0.5)])
