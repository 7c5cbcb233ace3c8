"""Methods that train a classifier along are evaluated with it, where it fits."""

from pathlib import Path

import pytest
from commands import robench

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.grid.spec import SpecError, parse_list
from robench.store.store import Store

LABELLED = "supervised,at(steps=1),trades(steps=1)"
GRID = {"probes": "own,linear(strength=0.01)", "sources": "shapes10", "attacks": "pgd"}
SIZE = ("--encoders", "resnet8(width=4)", "--images", "192", "--epochs", "1", "--limit", "20")


def planned(**asked: str) -> set[tuple[str, str, str]]:
    lists = {name: parse_list(text) for name, text in {**GRID, **asked}.items()}
    request = Request(eps=("2/255",), **lists)
    probings = {one.probing for one in plan(request, Catalog())}
    return {(one.pretraining.objective.name, one.probe.name, one.dataset.name) for one in probings}


def test_their_own_heads_and_fresh_ones(tmp_path: Path) -> None:
    words = [word for name, text in GRID.items() for word in (f"--{name}", text)]
    folders = "--out", str(tmp_path / "out"), "--zoo", str(tmp_path / "zoo")
    done = robench("run", "--methods", LABELLED, *words, "--eps", "2/255", *SIZE, *folders)
    assert done.code == 0, done.err
    store = Store(tmp_path / "out", tmp_path / "zoo", lambda line: None)
    found = {one.cell.evaluation.probing for one in store.results()}
    own = {one.source: one for one in found if one.probe.name == "own"}
    assert len(own) == 3
    assert len(found) == 6
    for card in store.cards():
        weights = store.probe(own[card.question])
        assert weights is not None
        assert store.heads(card)["head.weight"].equal(weights["weight"])


def test_a_head_is_asked_of_those_that_have_one_and_where_it_was_trained() -> None:
    both = planned(methods="plain,at", sources="shapes10,cifar10")
    own = {("at", "own", name) for name in ("shapes10", "cifar10")}
    assert {one for one in both if one[1] == "own"} == own
    assert ("plain", "linear", "cifar10") in both
    with pytest.raises(SpecError, match="plain has no classifier of its own"):
        planned(methods="at,plain", probes="own")
