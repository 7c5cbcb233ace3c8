"""Names as papers print them."""

import pytest

from robench.catalog.catalog import Catalog
from robench.report.names import PGD_STEPS, proper


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("plain", "SimCLR"),
        ("rocl(steps=3)", "RoCL (steps=3)"),
        ("plain(base=rocl)", "SimCLR (base=rocl)"),
        ("plain(base=uel)", "plain(base=uel)"),
        ("pgd", "PGD-20"),
        ("pgd(steps=50)", "PGD-50"),
        ("pgd(restarts=5, steps=100)", "PGD-100 (restarts=5)"),
        ("worst of pgd(steps=5), autoattack", "worst of PGD-5, AutoAttack"),
        ("cifar10 [1a2b3c4]", "CIFAR-10 [1a2b3c4]"),
        ("cifar10 → cifar100", "CIFAR-10 → CIFAR-100"),
        ("plain, resnet8", "SimCLR, ResNet-8"),
        ("rocl/file", "rocl/file"),
        ("mine(plain=3)", "mine(plain=3)"),
        ("_odd{", "_odd{"),
    ],
)
def test_labels_have_the_names_of_papers(label, name):
    assert proper(label) == name


def test_the_steps_of_pgd_are_those_of_the_attack():
    assert Catalog().parameters("attacks", "pgd")["steps"].default == PGD_STEPS
