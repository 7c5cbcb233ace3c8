"""The tidy long table."""

import random

import pytest

from robench.report.results import frame, one_each
from robench.trust.statistics import wilson


def test_columns_are_the_documented_ones(result):
    documented = (
        "method,source,target,encoder,probe,attack,norm,eps,seed,n,accuracy,ci_low,ci_high,flags,"
        "seconds,key"
    )
    assert ",".join(frame([result()]).columns) == documented


def test_a_row_says_what_its_cell_says(result):
    one = result(0.25, method="rocl", attack="pgd", norm="linf", eps="8/255", flags=("a", "b"))
    row = frame([one]).iloc[0]
    low, high = wilson(25, 100)
    assert (row["accuracy"], row["ci_low"], row["ci_high"]) == (0.25, low, high)
    assert (row["method"], row["eps"], row["flags"]) == ("rocl", "8/255", "a;b")
    assert row["key"] == one.cell.key


@pytest.mark.parametrize("eps", ["x", "1/0", "none", "8/255 ", "9" * 200])
def test_an_eps_that_is_no_number_spoils_no_report(result, eps):
    results = [result(attack="pgd", norm="linf", eps=eps), result(attack="clean")]
    assert list(frame(results)["eps"]) == ["", eps]


def test_order_does_not_depend_on_the_order_given(grid):
    results = grid(seeds=(0, 1))
    shuffled = random.Random(3).sample(results, len(results))
    assert frame(results).equals(frame(shuffled))


def test_order_is_clean_then_by_size_of_eps_and_number_in_name(result):
    def attacked(eps, norm="linf", method="m5"):
        return result(method=method, attack="pgd", norm=norm, eps=eps)

    results = [
        attacked("16/255"),
        attacked("0.5", norm="l2"),
        attacked("8/255"),
        attacked("0.04"),
        result(method="m10"),
        result(method="m5"),
    ]
    tidy = frame(results)
    assert tidy["method"].tolist() == ["m5"] * 5 + ["m10"]
    assert tidy["eps"].tolist() == ["", "8/255", "0.04", "16/255", "0.5", ""]


def test_no_results_are_refused():
    with pytest.raises(ValueError, match="no results to report"):
        frame([])


def test_the_last_of_several_results_for_a_place_counts(result):
    first, other, seed = result(0.4), result(0.6), result(0.4, seed=1)
    assert one_each([first, seed, other]) == [other, seed]
    assert one_each([other, seed, first]) == [first, seed]
