"""The worst case over attacks, planted image by image."""

from dataclasses import replace

import numpy as np
import pytest
from stored import SQUARE, planted

from robench.catalog.catalog import Catalog
from robench.grid.spec import SpecError
from robench.report.worst_case import worst_case, worst_cases

ATTACK = Catalog().attack
WEAK = [1, 1, 1, 0, 0, 1]
STRONG = [1, 0, 1, 1, 0, 0]
BOTH = [1, 0, 1, 0, 0, 0]


def correct(outcome):
    return (outcome.prediction == outcome.label).astype(int).tolist()


def having(result, **arrays):
    return replace(result, outcome=replace(result.outcome, **arrays))


def shuffled(result, order):
    return having(result, **{name: each[order] for name, each in vars(result.outcome).items()})


def test_only_images_right_after_all_attacks_are_right_matched_by_index():
    assert correct(worst_case([planted(WEAK), planted(STRONG)])) == BOTH
    index = np.array([40, 7, 13, 2, 99, 31])
    weak, strong = planted(WEAK, index=index), planted(STRONG, index=index)
    worst = worst_case([weak, shuffled(strong, np.array([5, 2, 0, 1, 4, 3]))])
    assert worst.index.tolist() == sorted(index)
    assert worst.index[worst.prediction == worst.label].tolist() == [13, 40]


def test_prediction_and_size_are_of_the_first_attack_that_fools():
    first = planted([1, 0, 1])
    sizes = np.array([0.1, 0.2, 0.3], np.float32)
    second = having(planted([0, 0, 1]), prediction=np.array([5, 6, 2]), size=sizes)
    worst = worst_case([first, second])
    assert worst.prediction.tolist() == [5, 2, 2]
    assert worst.size.tolist() == pytest.approx([0.1, 8 / 255, 8 / 255])
    assert worst.size.dtype == np.float32


@pytest.mark.parametrize(
    "other",
    [
        planted(STRONG, index=np.array([0, 1, 2, 3, 4, 6])),
        planted(STRONG[:5]),
        planted(STRONG, data="other"),
        having(planted(STRONG), label=np.array([0, 1, 2, 3, 4, 9])),
    ],
)
def test_other_images_are_refused(other):
    with pytest.raises(ValueError, match="not about the same images"):
        worst_case([planted(WEAK), other])


def test_results_of_each_model_are_joined():
    results = [
        planted(WEAK, flags=("gap",)),
        planted(STRONG, attack=SQUARE, flags=("masked",)),
        planted(WEAK, seed=1),
        planted(WEAK, seed=1, attack=SQUARE),
        planted(WEAK, "rocl"),  # never tried with the other attack
        planted(WEAK, attack="clean"),
    ]
    first, second = worst_cases(results, ["pgd", "square"], ATTACK)
    assert first.labels.attack == "worst of pgd, square"
    assert (first.norm, first.eps) == ("linf", "8/255")
    assert (first.correct, first.n, first.seed) == (2, 6, 0)
    assert first.flags == ("gap", "masked")
    assert (second.correct, second.seed) == (4, 1)


AA = "autoattack(eps=8/255, norm=linf)"


@pytest.mark.parametrize(
    ("pgd", "autoattack", "expected"),
    [
        (("gap",), (), ()),
        (("budget", "gap"), (), ()),
        (("budget", "gap"), ("budget",), ("budget",)),  # AutoAttack under 4 classes
        (("gap", "masked"), (), ("masked",)),
        (("random", "subset"), ("masked",), ("random", "subset", "masked")),
        ((), ("batch",), ("batch",)),
    ],
)
def test_what_another_attack_missed_is_settled_by_autoattack(pgd, autoattack, expected):
    results = [planted(WEAK, flags=pgd), planted(STRONG, attack=AA, flags=autoattack)]
    for order in (["pgd", "autoattack"], ["autoattack", "pgd"]):
        (worst,) = worst_cases(results, order, ATTACK)
        assert set(worst.flags) == set(expected)
        assert len(worst.flags) == len(expected)


def test_what_cannot_be_joined_is_refused():
    def refused(message, attacks, *results):
        with pytest.raises(SpecError, match=message):
            worst_cases(results, attacks, ATTACK)

    one, both = planted(WEAK, data="a"), ["pgd", "square"]
    refused("no stored cells of attack 'pdg'; did you mean pgd", ["pdg"], one)
    seed = planted(WEAK, attack=SQUARE, seed=1)
    refused("no model was attacked by all of pgd, square", both, one, seed)
    other = planted(WEAK, attack=SQUARE, index=np.arange(6) + 1)
    refused(f"{other.cell.key}: the attacks are not about the same images", both, one, other)
    with pytest.raises(ValueError, match="needs outcomes"):
        worst_case([])
