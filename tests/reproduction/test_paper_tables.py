"""Every published table: its values have a place each, and its rows run at every scale."""

from collections import Counter

import pytest

from robench.catalog.catalog import Catalog
from robench.grid.questions import Evaluation
from robench.grid.spec import SpecError
from robench.presets import Preset
from robench.report.published import values
from robench.reproduction import scales, tables
from robench.reproduction.grid import Place, belonging, places
from robench.reproduction.tables import Settings

CATALOG = Catalog()
NAMES = ["clae-table2", "rocl-table1", "rocl-transfer"]


def at(name: str, scale: str) -> tuple[Place, ...]:
    return places(tables.find(name), scales.find(scale), (), CATALOG, values())


def asked(name: str, scale: str) -> list[Evaluation]:
    return [evaluation for place in at(name, scale) for evaluation in place.evaluations]


def test_the_tables_are_the_files() -> None:
    assert tables.names() == NAMES


@pytest.mark.parametrize(("name", "count"), [("rocl-table1", 49), ("rocl-transfer", 8)])
def test_every_published_value_of_a_table_has_a_place(name: str, count: int) -> None:
    table = tables.find(name)
    own = [v for v in values() if v.paper == table.paper and v.table in table.tables]
    assert len(own) == count
    assert Counter(belonging(table, values()).values()) == Counter(own)


def test_every_cell_of_rocl_s_table_1_has_its_value() -> None:
    found = at("rocl-table1", "full")
    assert len(found) == 49
    assert all(place.published is not None for place in found)
    exact = [place for place in found if place.published and place.published.verified]
    assert [(p.row.method, str(p.column), str(p.published)) for p in exact] == [
        ("RoCL", "clean", "83.71"),
        ("RoCL", "pgd linf 8/255", "40.27"),
    ]


def test_no_value_of_clae_is_claimed() -> None:
    assert all(place.published is None for place in at("clae-table2", "full"))
    assert "No number of the CLAE paper could be checked" in tables.find("clae-table2").remarks[0]


def test_clae_is_measured_on_what_its_authors_evaluate() -> None:
    widths = {
        place.row.method: evaluation.probing.pretraining.encoder.get("embedding")
        for place in at("clae-table2", "cpu-hour")
        for evaluation in place.evaluations
    }
    assert widths == {
        **dict.fromkeys(("Plain", "Plain + CLAE", "UEL", "UEL + CLAE"), 128),
        **dict.fromkeys(("SimCLR", "SimCLR + CLAE"), 0),
    }


def test_a_value_without_a_place_is_refused() -> None:
    table = tables.find("rocl-transfer")
    (first, *_) = [v for v in values() if v.table == "Table 1 white-box"]
    stray = type(first)(**{**vars_of(first), "table": "transfer table"})
    with pytest.raises(ValueError, match="has no cell"):
        belonging(table, [stray])


def test_two_values_of_one_place_are_refused() -> None:
    table = tables.find("rocl-transfer")
    (first, *_) = [v for v in values() if v.table == "transfer table"]
    other = type(first)(**{**vars_of(first), "source_text": "elsewhere"})
    with pytest.raises(ValueError, match="has the cell of another"):
        belonging(table, [first, other])


def vars_of(value: object) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}  # type: ignore[attr-defined]


@pytest.mark.parametrize("scale", list(scales.SCALES))
@pytest.mark.parametrize("name", NAMES)
def test_every_row_runs_at_every_scale_or_says_why_not(name: str, scale: str) -> None:
    for place in at(name, scale):
        if isinstance(place.row.runs, Settings):
            (evaluation,) = place.evaluations
            norm, eps = (evaluation.attack.get(word) for word in ("norm", "eps"))
            assert (norm is None) == (eps is None) == (place.column.eps == "")
            assert str(evaluation.probing.dataset) == place.row.target
            assert str(evaluation.probing.pretraining.dataset) == place.row.source
        else:
            assert place.evaluations == ()
            assert len(place.row.runs.split()) > 1


@pytest.mark.parametrize("name", NAMES)
def test_attacks_keep_their_budget_at_every_scale(name: str) -> None:
    attacks = {scale: [e.attack for e in asked(name, scale)] for scale in scales.SCALES}
    assert attacks["full"] == attacks["gpu-hour"] == attacks["cpu-hour"]
    for attack in attacks["full"]:
        assert attack.name == "clean" or attack.get("steps") == 20


def test_the_full_scale_is_the_preset_itself() -> None:
    assert scales.FULL.full
    assert not any(scale.full for name, scale in scales.SCALES.items() if name != "full")
    for place in at("rocl-table1", "full"):
        for evaluation in place.evaluations:
            training = evaluation.probing.pretraining
            assert evaluation.probing.images is None
            assert (training.recipe.epochs, training.recipe.batch) == (1000, 512)
            encoder = "resnet18(embedding=0, normalize=none, stem=cifar, width=64)"
            assert str(training.encoder) == encoder
            probe = evaluation.probing.probe
            assert (probe.name, probe.get("epochs")) == (
                ("robust-linear", 150) if place.row.protocol == "rLE" else ("linear-sgd", 150)
            )


def test_a_smaller_encoder_keeps_the_input_s_normalisation() -> None:
    pairs = {
        method: {
            (here.probing.pretraining.encoder, full.probing.pretraining.encoder)
            for here, full in zip(asked(name, "cpu-hour"), asked(name, "full"), strict=True)
        }
        for method, name in (("rocl", "rocl-table1"), ("clae", "clae-table2"))
    }
    assert {len(found) for found in pairs.values()} == {1, 2}
    for here, full in set().union(*pairs.values()):
        assert (here.name, full.name) == ("resnet8", "resnet18")
        assert here.get("normalize") == full.get("normalize")


def test_a_scale_s_arguments_stand_for_the_preset_s_and_keep_the_others() -> None:
    preset = Preset("", (), (), (), ("resnet18",), None, arguments=("pgd(steps=5)", "a(x=1, y=2)"))
    cut = scales.Scale("small", arguments=("a(x=3)", "b(z=1)")).cut(preset)
    assert cut.arguments == ("pgd(steps=5)", "a(x=3, y=2)", "b(z=1)")


@pytest.mark.parametrize(
    ("find", "name", "message"),
    [
        (tables.find, "rocl-tabel1", "no table 'rocl-tabel1'; did you mean rocl-table1"),
        (scales.find, "gpu_hour", "no scale 'gpu_hour'; did you mean gpu-hour"),
    ],
)
def test_mistyped_names_are_told_the_nearest(find: object, name: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        find(name)  # type: ignore[operator]
