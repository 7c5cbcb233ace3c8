"""The grid that a request asks for."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import pytest
from commands import PLUGINS
from stored import planted

from robench.catalog.catalog import Catalog
from robench.catalog.plan import paired, plan
from robench.catalog.request import Request
from robench.catalog.scale import Scale, scale, schedules
from robench.grid.questions import Evaluation, key
from robench.grid.recipe import Recipe
from robench.grid.spec import Spec, SpecError, parse_list, parse_number, show
from robench.presets import Pairing

CATALOG = Catalog([PLUGINS / "mirror.py", PLUGINS / "nudge.py"])
SMALL = Request(methods=parse_list("plain"), attacks=parse_list("pgd"), eps=("8/255",))


def attacks(request: Request) -> list[Spec]:
    return list(dict.fromkeys(evaluation.attack for evaluation in plan(request, CATALOG)))


def test_the_grid_is_the_product_and_clean_is_always_there() -> None:
    request = Request(
        methods=parse_list("clae,rocl"),
        attacks=parse_list("pgd,autoattack"),
        sources=parse_list("shapes10"),
        targets=parse_list("shapes10,shapes100"),
        seeds=(0, 1),
        eps=("8/255", "4/255"),
    )
    evaluations = plan(request, CATALOG)
    assert len(evaluations) == len(set(evaluations)) == 2 * 2 * 2 * 5
    assert sum(e.attack.name == "clean" for e in evaluations) == 8


def test_a_table_names_each_part_of_an_evaluation() -> None:
    request = Request(
        methods=parse_list("rocl(steps=5)"),
        sources=parse_list("shapes100"),
        targets=parse_list("shapes10(size=8)"),
        encoders=parse_list("resnet8(width=4)"),
        probes=parse_list("linear(strength=1)"),
        attacks=parse_list("pgd(eps=8/255, steps=10)"),
    )
    labels = CATALOG.labels(plan(request, CATALOG)[-1])
    assert vars(labels) == {
        "method": "rocl(steps=5)",
        "source": "shapes100",
        "target": "shapes10(size=8)",
        "encoder": "resnet8(width=4)",
        "probe": "linear(strength=1)",
        "attack": "pgd(steps=10)",
    }


def test_of_several_pairings_the_first_that_has_a_setting_wins() -> None:
    pairings = (
        Pairing(("plain",), probes=("linear-sgd",)),
        Pairing(("rocl",), recipe=Recipe(2, 16)),
        Pairing(("plain",), probes=("slf",), recipe=Recipe(3, 64), arguments=("pgd(steps=7)",)),
        Pairing(("plain",), recipe=Recipe(5, 32), arguments=("pgd(steps=9)",)),
    )
    preset = replace(CATALOG.preset("quick"), pairings=pairings)
    found = paired(preset, CATALOG.resolve("methods", "plain"))
    assert (found.probes, found.recipe) == (("linear-sgd",), Recipe(3, 64))
    assert (found.encoders, found.arguments) == (preset.encoders, ("pgd(steps=7)",))


def test_cells_that_share_an_encoder_are_neighbours() -> None:
    trainings = [e.probing.pretraining for e in plan(Request(seeds=(0, 1)), CATALOG)]
    changes = sum(one != other for one, other in pairwise(trainings))
    assert changes + 1 == len(set(trainings)) == 12


def test_what_is_asked_twice_is_planned_once() -> None:
    twice = replace(
        SMALL,
        methods=parse_list("plain,plain"),
        eps=("8/255", "16/510"),
        seeds=(0, 0),
        attacks=parse_list("pgd,pgd(steps=20),clean"),
    )
    assert plan(twice, CATALOG) == plan(SMALL, CATALOG)


def test_radii_are_the_preset_s_for_each_norm_unless_typed() -> None:
    quick = CATALOG.preset("quick").radii["pgd"]
    for typed, norms, eps, radii in [
        (
            "pgd",
            ("linf", "l2"),
            (),
            [(n, parse_number(e)) for n in ("linf", "l2") for e in quick[n]],
        ),
        ("pgd(eps=1/255),pgd(norm=l2)", (), ("0.5",), [("linf", Fraction(1, 255)), ("l2", 0.5)]),
        ("pgd", ("l1",), ("12",), [("l1", 12)]),
    ]:
        tried = attacks(replace(SMALL, attacks=parse_list(typed), norms=norms, eps=eps))[1:]
        assert [(one.get("norm"), one.get("eps")) for one in tried] == radii


def test_targets_are_the_sources_unless_typed() -> None:
    for typed in ("", "shapes10", "cifar10,cifar100"):
        sources = parse_list(typed) if typed else ()
        evaluations = plan(replace(SMALL, sources=sources), CATALOG)
        pairs = {(str(e.probing.pretraining.dataset), str(e.probing.dataset)) for e in evaluations}
        names = (typed or "shapes10,shapes100").split(",")
        assert {tuple(n.partition("(")[0] for n in p) for p in pairs} == {*product(names, repeat=2)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": ("0",)}, "eps=0 should be above 0"),
        ({"attacks": parse_list("pgd(eps=2)")}, "eps=2 is more than the pixel range"),
        ({"attacks": parse_list("pgd(eps=0)")}, "eps=0 should be above 0"),
        ({"attacks": parse_list("nudge(eps=-1)")}, "eps=-1 should be above 0"),
        ({"attacks": parse_list("pgd(norm=l3)")}, "pgd: "),
        ({"attacks": parse_list("pgd,transfer")}, "transfer needs another model"),
        ({"seeds": ("a",)}, "seeds=a should be a whole number, at least 0"),
        ({"limit": 0}, "limit=0 should be a whole number, at least 1"),
        (
            {"images": 64},
            "plain: images=64 is less than one batch of the pretraining; give at least 128",
        ),
        ({"batch": 1}, "batch=1 should be a whole number, at least 2"),
        ({"lr": 0}, "lr=0 should be above 0"),
        ({"settings": "momentum"}, "settings: 'momentum' cannot be read; write key=value"),
        ({"settings": "optimizer=lamb"}, "no optimizer 'lamb'; did you mean lars"),
        ({"settings": "rokl.lr=1"}, "--set rokl.lr: the run has no such method; choose from plain"),
        ({"settings": "warmup=8"}, "plain: warmup=8 is not less than epochs=8"),
        ({"settings": "schedule=steps"}, "plain: a recipe has falls=() with schedule=steps"),
        ({"settings": "falls=3"}, "falls=3 cannot be read; write EPOCH:SHARE"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(replace(SMALL, **change), CATALOG)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def recipe(request: Request) -> Recipe:
    return plan(request, CATALOG)[0].probing.pretraining.recipe


TYPED: dict[str, Any] = {
    **{"epochs": 7, "batch": 32, "images": None, "optimizer": "sgd", "lr": 0.1, "momentum": 0.5},
    **{"weight_decay": 1e-4, "schedule": "steps", "warmup": 2, "warmup_start": 0.25, "hold": 1},
    **{"update": "epoch", "precision": "bf16", "span": "all", "falls": ((3, 0.1), (5, 0.01))},
}


def test_every_field_of_a_recipe_can_be_typed() -> None:
    texts = [f"{key}={value}" for key, value in TYPED.items() if key != "falls"]
    texts.append("falls=3:0.1,5:1e-2")
    for settings in (texts, TYPED, [f"plain.{text}" for text in texts]):
        request = Request(methods=SMALL.methods, settings=settings)  # type: ignore[arg-type]
        assert recipe(request) == Recipe(**TYPED)
    options = {key: TYPED[key] for key in ("epochs", "batch", "lr", "precision")}
    assert recipe(Request(**options)) == replace(recipe(Request()), **options)
    later = Request(lr=1, settings=["lr=2", "lr=3"])  # type: ignore[arg-type]
    assert recipe(later).lr == 3


def test_typed_wins_over_the_preset_and_the_preset_over_the_method() -> None:
    request = Request(
        methods=parse_list("mirror,mirror(noise=0.2),plain"),
        lr=0.5,
        settings=("mirror.epochs=3", "mirror(noise=0.2).lr=0.25", "momentum=0.8"),  # type: ignore[arg-type]
    )
    evaluations = plan(request, CATALOG)
    recipes = {
        CATALOG.label("methods", e.probing.pretraining.objective): e.probing.pretraining.recipe
        for e in evaluations
    }
    usual = CATALOG.preset("quick").recipe
    assert usual is not None
    typed = replace(usual, lr=0.5, momentum=0.8)
    assert recipes == {
        "mirror": replace(typed, epochs=3),
        "mirror(noise=0.2)": replace(typed, epochs=3, lr=0.25),
        "plain": typed,
    }
    first, *_ = schedules(evaluations, request, CATALOG)
    assert first == (
        "Schedule of mirror: 3 epochs of up to 4,096 images in batches of 128 "
        "(adam, lr 0.5, fp32); preset quick's, not the method's own, with lr=0.5, momentum=0.8, "
        "epochs=3"
    )


def test_a_preset_without_a_schedule_leaves_it_to_the_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_ = replace(CATALOG.preset("quick"), recipe=None)
    monkeypatch.setattr(Catalog, "preset", lambda catalog, name: open_)
    request = replace(SMALL, methods=parse_list("mirror"))
    evaluations = plan(request, CATALOG)
    assert evaluations[0].probing.pretraining.recipe == Recipe(epochs=2, batch=64)
    (line,) = schedules(evaluations, request, CATALOG)
    assert line.endswith("; the method's own, as preset quick sets none")
    monkeypatch.setattr(Catalog, "schedule", lambda catalog, spec: None)
    with pytest.raises(SpecError, match="mirror has no schedule of its own"):
        plan(request, CATALOG)
    typed = plan(replace(request, epochs=4, batch=32), CATALOG)
    assert typed[0].probing.pretraining.recipe == Recipe(epochs=4, batch=32)


def sized(evaluation: Evaluation, n: int = 100, catalog: Catalog = CATALOG) -> Scale:
    result = planted(1.0, n=n)
    result = replace(result, cell=replace(result.cell, evaluation=evaluation))
    return scale(result, None, catalog)


def test_the_paper_s_methods_have_one_scale() -> None:
    paper = plan(Request(preset="paper/clae"), CATALOG)
    assert len({evaluation.probing.pretraining.recipe for evaluation in paper}) > 1
    assert len({sized(evaluation) for evaluation in paper}) == 1
    cut = plan(Request(preset="paper/clae", epochs=3), CATALOG)
    scales = {sized(evaluation) for evaluation in cut}
    assert len(scales) == 1
    assert scales != {sized(paper[0])}


def test_steps_come_at_the_same_share_of_a_shorter_training() -> None:
    def falls(epochs: int) -> tuple[tuple[int, float], ...]:
        request = Request(preset="paper/clae", methods=parse_list("clae(base=uel)"), epochs=epochs)
        return plan(request, CATALOG)[0].probing.pretraining.recipe.falls

    assert falls(301) == ((120, 0.1), (160, 0.05), (200, 0.01))
    assert falls(30) == ((12, 0.1), (16, 0.05), (20, 0.01))
    assert falls(1) == ((1, 0.1), (1, 0.05), (1, 0.01))  # after the end
    cut = plan(replace(SMALL, epochs=1, images=256), CATALOG)[0].probing
    assert (cut.pretraining.recipe.epochs, cut.pretraining.recipe.warmup) == (1, 0)
    assert cut.images == cut.pretraining.recipe.images == 256


def test_a_scale_needs_no_plug_in_at_hand() -> None:
    evaluation = plan(replace(SMALL, methods=parse_list("mirror")), CATALOG)[0]
    assert sized(evaluation, 9, Catalog()) == sized(evaluation, 9)
    assert sized(evaluation, 9) != sized(evaluation, 7)


def test_a_transfer_is_from_each_other_method_or_the_one_that_is_named() -> None:
    def made(attack: str, find: Any = None) -> list[tuple[str, str]]:
        request = replace(SMALL, methods="plain,clae,rocl", attacks=attack, sources="shapes10")
        labels = [CATALOG.labels(one) for one in plan(request, CATALOG, find)]
        return [(one.method, one.attack) for one in labels if one.attack != "clean"]

    names = ["plain", "clae", "rocl"]
    every = [(a, f"transfer from {b}") for a in names for b in names if a != b]
    assert made("transfer") == every
    assert made("transfer(from=rocl)") == [(a, "transfer from rocl") for a in names[:2]]
    one = plan(SMALL, CATALOG)[0].probing.pretraining
    other = replace(one, seed=7)
    found = made("transfer(from=some-key)", {"some-key": other}.__getitem__)
    assert found == [(a, f"transfer from {key(other)}") for a in names]
    with pytest.raises(SpecError, match="no method 'byol' in this run"):
        made("transfer(from=byol)")


def test_a_surrogate_is_fitted_as_its_target_is() -> None:
    request = replace(SMALL, methods="plain,rocl", attacks="transfer", seeds="0,1")
    for one in (one for one in plan(request, CATALOG) if one.surrogate is not None):
        assert one.surrogate is not None
        own, other = one.probing.pretraining, one.surrogate.pretraining
        assert replace(one.surrogate, source=own) == one.probing
        assert (own.seed, own.dataset, own.encoder) == (other.seed, other.dataset, other.encoder)
        assert own.objective != other.objective


def test_unseen_norms_are_rocl_s() -> None:
    request = Request(preset="unseen-norms", methods=parse_list("plain"), attacks=parse_list("pgd"))
    balls = {(a.get("norm"), show(a.get("eps"))) for a in attacks(request) if a.has("eps")}
    assert balls == {("l2", "0.25"), ("l2", "0.5"), ("l1", "7.84"), ("l1", "12")}
