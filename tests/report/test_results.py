"""Results by place, their order, and the long frame."""

import random
from dataclasses import replace

import numpy as np
from stored import flagged, grid, planted

from robench.metrics.accuracy import accuracy
from robench.metrics.clean_accuracy import clean_accuracy
from robench.report.ranking import paired
from robench.report.results import Order, frame, one_each
from robench.trust.statistics import wilson


def test_a_row_is_its_result():
    one = planted(0.25, "rocl", source="cifar10", target="shapes100", flags=("a", "b"))
    tidy = frame([one])
    assert ",".join(tidy.columns) == (
        "method,source,target,encoder,probe,attack,norm,eps,eps_value,seed,n,accuracy,ci_low,ci_high,flags,"
        "seconds,key"
    )
    row = tidy.iloc[0]
    low, high = wilson(25, 100)
    assert (row["accuracy"], row["ci_low"], row["ci_high"]) == (0.25, low, high)
    assert (row["method"], row["source"], row["target"]) == ("rocl", "cifar10", "shapes100")
    assert (row["attack"], row["norm"], row["eps"], row["eps_value"]) == (
        "pgd", "linf", "8/255", 8 / 255
    )  # fmt: skip
    assert (row["flags"], row["key"]) == ("a;b", one.cell.key)


def test_metrics_are_of_the_prediction_that_they_name():
    one = planted([1, 0, 0, 0], clean=[1, 1, 1, 0])
    metrics = {"accuracy": accuracy, "clean_accuracy": clean_accuracy}
    row = frame([one], metrics=metrics).iloc[0]
    assert (row["accuracy"], row["clean_accuracy"]) == (0.25, 0.75)


def test_order_does_not_depend_on_the_order_given():
    results = grid(seeds=(0, 1), n=50)
    shuffled = random.Random(3).sample(results, len(results))
    assert frame(results).equals(frame(shuffled))


def test_order_is_clean_then_by_size_of_eps_and_number_in_name():
    def attacked(eps, norm="linf"):
        return planted(0.5, "m5", "pgd", eps=eps, norm=norm)

    results = [
        attacked("16/255"),
        attacked("0.5", norm="l2"),
        attacked("8/255"),
        attacked("0.04"),
        planted(0.5, "m10", "clean"),
        planted(0.5, "m5", "clean"),
    ]
    tidy = frame(results)
    assert tidy["method"].tolist() == ["m5"] * 5 + ["m10"]
    assert tidy["eps"].tolist() == ["", "8/255", "0.04", "16/255", "0.5", ""]


def test_methods_come_as_asked_and_others_behind_them():
    names = ["clae", "mine", "rocl(steps=5)", "rocl(steps=10)", "plain"]
    results = [planted(0.5, name) for name in names]
    asked = [replace(results[0].labels, method=m) for m in ("plain", "rocl(steps=10)", "clae")]
    assert frame(results, Order(asked))["method"].tolist() == [
        "plain", "rocl(steps=10)", "rocl(steps=5)", "clae", "mine"
    ]  # fmt: skip


def test_the_last_of_several_results_for_a_place_counts():
    first, other, seed = planted(0.4), planted(0.6), planted(0.4, seed=1)
    assert one_each([first, seed, other]) == [other, seed]
    assert one_each([other, seed, first]) == [first, seed]
    apart = [first, planted(0.4, source="a"), planted(0.4, target="a"), planted(0.4, n=50)]
    assert one_each(apart) == apart
    assert one_each([first, flagged(first, "odd")])[0].flags == ("odd",)


def test_results_are_paired_by_seed_image_and_data():
    a = {0: planted([1, 1, 0], data="d"), 1: planted([0, 0, 1], seed=1, data="d")}
    b = {
        1: planted([1, 0], index=np.array([2, 1]), seed=1, data="d"),
        2: planted([1, 1, 1], seed=2, data="d"),
    }
    ours, theirs = paired(a, b)  # seed 1, images 1 and 2
    assert (ours.tolist(), theirs.tolist()) == ([[False, True]], [[False, True]])
    other = {0: planted([1, 1, 0], data="other"), 3: planted([1], seed=3)}
    assert [side.size for side in paired(a, other)] == [0, 0]  # the same rows of other data
    assert [side.size for side in paired({5: a[0]}, b)] == [0, 0]
