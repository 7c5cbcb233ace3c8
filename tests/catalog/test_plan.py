"""The grid that a request asks for."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from commands import PLUGINS

from robench.catalog.catalog import Catalog
from robench.catalog.plan import Request, plan, scale
from robench.grid.spec import SpecError, parse, parse_list, parse_number

CATALOG = Catalog([PLUGINS / "mirror.py", PLUGINS / "nudge.py"])
SMALL = Request(methods=parse_list("plain"), attacks=parse_list("pgd"), eps=("8/255",))


def attacks(request: Request) -> list[str]:
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
    assert sum(parse(e.attack).name == "clean" for e in evaluations) == 8


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


def test_every_radius_is_tried_with_its_norm() -> None:
    both = replace(SMALL, norms=("linf", "l2"), eps=())
    radii = [(parse(a).get("norm"), parse(a).get("eps")) for a in attacks(both)[1:]]
    preset = CATALOG.preset("quick")
    own = preset.radii.get("pgd", preset.eps)
    assert radii == [(norm, parse_number(eps)) for norm in ("linf", "l2") for eps in own[norm]]


def test_a_radius_in_the_spec_is_kept() -> None:
    own = replace(SMALL, attacks=parse_list("pgd(eps=1/255),pgd(norm=l2)"), eps=("0.5",))
    assert [str(parse(attack).get("eps")) for attack in attacks(own)[1:]] == ["1/255", "1/2"]


def test_without_a_word_on_targets_sources_are_targets() -> None:
    evaluations = plan(replace(SMALL, sources=parse_list("shapes10")), CATALOG)
    assert {parse(e.probing.dataset).name for e in evaluations} == {"shapes10"}
    across = plan(SMALL, CATALOG)
    pairs = {(e.probing.pretraining.dataset, e.probing.dataset) for e in across}
    assert len(pairs) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "quik"}, "no preset 'quik'; did you mean quick?"),
        ({"eps": ("0",)}, "eps=0 is no radius"),
        ({"eps": ("-8/255",)}, "eps=-8/255 is no radius"),
        ({"eps": ("8",)}, "eps=8 is more than the pixel range"),
        ({"eps": ("eight",)}, "'eight' is not a number"),
        ({"attacks": parse_list("pgd(eps=2)")}, "eps=2 is more than the pixel range"),
        ({"attacks": parse_list("pgd(eps=0)")}, "eps=0 is no radius"),
        ({"attacks": parse_list("nudge(eps=-1)")}, "eps=-1 is no radius"),
        ({"attacks": parse_list("pgd(norm=l3)")}, "pgd: "),
        ({"norms": ("l3",)}, "no norm 'l3'; did you mean"),
        ({"seeds": (-1,)}, "seed '-1' should be a whole number, at least 0"),
        ({"seeds": ("a",)}, "seed 'a' should be a whole number"),
        ({"limit": 0}, "limit=0 should be a whole number, at least 1"),
        ({"limit": -5}, "limit=-5 should be"),
        ({"epochs": 0}, "epochs=0 should be"),
        ({"images": 0}, "images=0 should be"),
        ({"images": 64}, "images=64 is less than one batch of the pretraining; give at least 128"),
        ({"precision": "fp16"}, "no precision 'fp16'; did you mean bf16 or fp32?"),
        ({"sources": parse_list("shapes11")}, "no dataset 'shapes11'; did you mean shapes10"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(replace(SMALL, **change), CATALOG)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_other_norms_have_larger_radii() -> None:
    assert plan(replace(SMALL, norms=("l1",), eps=("12",)), CATALOG)


def test_the_schedule_can_be_cut() -> None:
    recipe = plan(replace(SMALL, epochs=1, images=256), CATALOG)[0].probing.pretraining.recipe
    assert (recipe.epochs, recipe.images, recipe.warmup) == (1, 256, 0)
    assert plan(replace(SMALL, images=256), CATALOG)[0].probing.images == 256


def test_the_paper_s_methods_have_one_scale() -> None:
    paper = plan(Request(preset="paper/clae"), CATALOG)
    assert len({evaluation.probing.pretraining.recipe for evaluation in paper}) > 1
    assert len({scale(evaluation, CATALOG) for evaluation in paper}) == 1
    cut = plan(Request(preset="paper/clae", epochs=3), CATALOG)
    assert {scale(evaluation, CATALOG) for evaluation in cut} != {scale(paper[0], CATALOG)}
    assert len({scale(evaluation, CATALOG) for evaluation in cut}) == 1


def test_steps_come_at_the_same_share_of_a_shorter_training() -> None:
    def falls(epochs: int) -> tuple[tuple[int, float], ...]:
        request = Request(preset="paper/clae", methods=parse_list("clae(base=uel)"), epochs=epochs)
        return plan(request, CATALOG)[0].probing.pretraining.recipe.falls

    assert falls(301) == ((120, 0.1), (160, 0.05), (200, 0.01))
    assert falls(30) == ((12, 0.1), (16, 0.05), (20, 0.01))
    assert falls(1) == ((1, 0.1), (1, 0.05), (1, 0.01))  # after the end


def test_a_scale_needs_no_plug_in_at_hand() -> None:
    evaluation = plan(replace(SMALL, methods=parse_list("mirror")), CATALOG)[0]
    assert scale(evaluation, Catalog()) == scale(evaluation, CATALOG)
    assert scale(evaluation, CATALOG) != scale(replace(evaluation, limit=7), CATALOG)


def test_the_paper_preset_takes_a_plug_in_s_own_schedule() -> None:
    evaluations = plan(Request(preset="paper/clae", methods=parse_list("mirror")), CATALOG)
    assert evaluations[0].probing.pretraining.recipe.epochs == 2
