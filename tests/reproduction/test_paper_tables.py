"""Every published table: its values have a place each, and its rows run at every scale."""

from collections import Counter
from functools import cache

import pytest

from robench.catalog.catalog import Catalog
from robench.grid.questions import Evaluation
from robench.grid.spec import parse
from robench.papers import SCALES, Scale, find
from robench.report.published import values
from robench.reproduction import Place, planned

CATALOG = Catalog()
NAMES = ["clae-table2", "rocl-table1", "rocl-transfer"]


@cache
def at(name: str, scale: str) -> tuple[Place, ...]:
    return planned(name, scale, (), CATALOG, values()).places


def asked(name: str, scale: str) -> list[Evaluation]:
    return [evaluation for place in at(name, scale) for evaluation in place.evaluations]


@pytest.mark.parametrize(
    ("name", "count"), [("rocl-table1", 49), ("rocl-transfer", 8), ("clae-table2", 0)]
)
def test_every_published_value_of_a_table_has_one_place(name: str, count: int) -> None:
    table = find(name)
    own = [v for v in values() if v.paper == table.paper and v.table in table.tables]
    assert len(own) == count
    found = at(name, "full")
    assert Counter(place.published for place in found if place.published) == Counter(own)
    places = [(p.row.method, p.row.protocol, p.source, p.target, p.column) for p in found]
    assert len(set(places)) == len(places)
    known = [(p, p.published) for p in found if p.published]
    for place, value in known:
        row = (place.row.method, place.row.protocol, place.source, place.target)
        assert row == (value.method, value.protocol, value.source, value.target)
    checked = [p for p in found if p.published and p.published.verified]
    exact = [("RoCL", "clean", "83.71"), ("RoCL", "pgd linf 8/255", "40.27")]
    assert [(p.row.method, p.column, str(p.published)) for p in checked] == (
        exact if name == "rocl-table1" else []
    )


@pytest.mark.parametrize("scale", list(SCALES))
@pytest.mark.parametrize("name", NAMES)
def test_every_row_runs_at_every_scale_or_says_why_not(name: str, scale: str) -> None:
    for place in at(name, scale):
        if place.row.not_run:
            assert place.evaluations == ()
            assert len(place.row.not_run.split()) > 1
            continue
        (evaluation,) = place.evaluations
        attack = evaluation.attack
        words = place.column.split()
        assert [attack.name, *map(str, filter(None, [attack.get("norm")]))] == words[:2]
        run = {"8/255": "0.0314", "16/255": "0.0627"}  # src/total_process.sh:19-20
        if len(words) == 3:
            assert attack.get("eps") == parse(f"pgd(eps={run.get(words[2], words[2])})").get("eps")
        assert str(evaluation.probing.dataset).startswith(place.target)
        assert str(evaluation.probing.pretraining.dataset).startswith(place.source)


@pytest.mark.parametrize("name", NAMES)
def test_attacks_keep_their_budget_at_every_scale(name: str) -> None:
    attacks = {scale: [e.attack for e in asked(name, scale)] for scale in SCALES}
    assert attacks["full"] == attacks["gpu-hour"] == attacks["cpu-hour"]
    for attack in attacks["full"]:
        assert attack.name == "clean" or attack.get("steps") == 20


def test_the_full_scale_is_the_preset_itself() -> None:
    assert SCALES["full"] == Scale()
    for place in at("rocl-table1", "full"):
        assert place.evaluations == place.full
        for evaluation in place.evaluations:
            training = evaluation.probing.pretraining
            assert evaluation.probing.images is None
            assert (training.recipe.epochs, training.recipe.batch) == (1000, 512)
            assert str(training.encoder) == (
                "resnet18(embedding=0, normalize=none, stem=cifar, width=64)"
            )
            probe = evaluation.probing.probe
            assert (probe.name, probe.get("epochs")) == (
                ("robust-linear", 150) if place.row.protocol == "rLE" else ("linear-sgd", 150)
            )


@pytest.mark.parametrize("name", NAMES)
def test_the_reduced_scales_have_their_budgets(name: str) -> None:
    assert [scale.limit for scale in SCALES.values()] == [None, None, 1000]
    for evaluation in asked(name, "gpu-hour"):
        recipe = evaluation.probing.pretraining.recipe
        assert (recipe.epochs, recipe.precision, recipe.images) == (30, "bf16", None)
    for evaluation in asked(name, "cpu-hour"):
        recipe = evaluation.probing.pretraining.recipe
        assert (recipe.epochs, recipe.batch, recipe.images) == (10, 128, 8192)
        assert evaluation.probing.images == 8192


def test_a_smaller_encoder_keeps_the_input_s_normalisation_and_the_embedding() -> None:
    for name, count in (("rocl-table1", 1), ("clae-table2", 2)):
        pairs = zip(asked(name, "cpu-hour"), asked(name, "full"), strict=True)
        encoders = {tuple(e.probing.pretraining.encoder for e in pair) for pair in pairs}
        assert len(encoders) == count
        for here, full in encoders:
            assert (here.name, full.name) == ("resnet8", "resnet18")
            assert dict(here.arguments) | {"width": 0} == dict(full.arguments) | {"width": 0}
