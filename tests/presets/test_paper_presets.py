"""The papers' presets run what the authors' code sets, and say so."""

import tomllib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import nn

from robench.catalog.catalog import Catalog
from robench.catalog.plan import grid, plan
from robench.catalog.request import Request
from robench.catalog.typed import recipe_value
from robench.contracts import Encoder
from robench.grid.questions import Evaluation
from robench.grid.recipe import Recipe
from robench.grid.spec import parse, parse_list
from robench.presets import Pairing
from robench.tensors.learners import LEARNERS

CATALOG = Catalog()
PAPERS = [name for name in CATALOG.names("presets") if name.startswith("paper/")]
each_paper = pytest.mark.parametrize("name", PAPERS)


class Narrow(Encoder):
    width = 8


CIFAR = "resnet18(embedding=0, normalize=pytorch-cifar, stem=cifar, width=64)"
EMBEDDING = CIFAR.replace("embedding=0", "embedding=128")
ROCL = Recipe(
    epochs=1000,
    batch=512,
    optimizer="lars",
    lr=1.5,
    momentum=0.9,
    weight_decay=1e-6,
    warmup=10,
    warmup_start=1 / 15,
    update="epoch",
    hold=1,
    span="all",
)


def planned(name: str) -> tuple[Evaluation, ...]:
    return plan(Request(preset=name), CATALOG)


@each_paper
def test_the_settings_shown_are_those_that_run(name: str) -> None:
    preset = CATALOG.preset(name)
    trainings = {evaluation.probing.pretraining for evaluation in planned(name)}
    assert {preset.limit} == {e.probing.images for e in planned(name)} == {None}
    assert {(one.recipe.images, one.recipe.precision) for one in trainings} == {(None, "fp32")}
    specs = {e.attack for e in planned(name)} | {e.probing.probe for e in planned(name)}
    specs |= {training.objective for training in trainings}
    checked = 0
    for setting in preset.settings:
        assert setting.value
        assert any(part in setting.source for part in (".py:", ".sh:", ".md:")), setting
        part = setting.part.rpartition(": ")[2]
        run = [spec.get(setting.name) for spec in specs if spec.name == part]
        if part == "recipe":
            value = recipe_value(setting.name, setting.value)
            assert value in [getattr(one.recipe, setting.name) for one in trainings]
        elif run:
            typed = parse(f"{part}({setting.name}={setting.value})")
            assert typed.get(setting.name) in run
        checked += part == "recipe" or bool(run)
    assert checked > 10
    assert all((one.paper or one.code) and one.here for one in preset.differences)


@pytest.mark.parametrize(
    ("name", "part", "bases"),
    [
        ("paper/simclr-rocl", "built_in", ["rocl"]),
        ("paper/clae", "SimCLR: built_in", ["clae"]),
        ("paper/clae", "Plain, UEL: built_in", ["plain", "uel"]),
    ],
)
def test_the_numbers_shown_of_a_base_are_its_own(name: str, part: str, bases: list[str]) -> None:
    shown = {s.name: s.value for s in CATALOG.preset(name).settings if s.part == part}
    for learner in map(LEARNERS.__getitem__, bases):
        numbers = {key: v for key, v in vars(learner).items() if isinstance(v, int | float)}
        own = {key: f"{value:g}" for key, value in numbers.items() if key in shown}
        assert own == {key: shown[key] for key in own}
        assert {"temperature", "colour", "crop"} <= own.keys()
    if name == "paper/clae":
        spec = parse("clae" if bases == ["clae"] else f"clae(base={bases[0]})")
        objective = CATALOG.build_objective(CATALOG.resolve("methods", spec), Narrow())
        assert f"{objective.ball.eps:g}" == shown["eps"]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        (
            "paper/rocl",
            "rocl(colour=0.5, crop=0.08, eps=0.0314, hidden=2048, lamda=256, output=128, "
            "step_size=0.007, steps=7, stop_gradient=true, temperature=0.5)",
        ),
        (
            "paper/simclr-rocl",
            "plain(base=rocl, colour=none, crop=none, hidden=none, output=none, temperature=none)",
        ),
    ],
)
def test_rocl_and_its_simclr(name: str, method: str) -> None:
    evaluations = planned(name)
    trainings = {e.probing.pretraining for e in evaluations}
    assert {str(training.objective) for training in trainings} == {method}
    assert {str(training.encoder) for training in trainings} == {
        "resnet18(embedding=0, normalize=none, stem=cifar, width=64)"
    }
    assert {training.recipe for training in trainings} == {ROCL}
    (own,) = {str(e.probing.probe) for e in evaluations if e.probing.probe.name == "linear-sgd"}
    assert own == "linear-sgd(batch=1024, epochs=150, lr=0.1, momentum=0.9, weight_decay=0.0005)"
    attacks = list(dict.fromkeys(e.attack for e in evaluations))
    assert [(one.name, one.get("norm"), one.get("eps")) for one in attacks] == [
        ("clean", None, None),
        ("pgd", "linf", Fraction("0.0314")),
        ("pgd", "linf", Fraction("0.0627")),
        ("pgd", "l2", Fraction("0.25")),
        ("pgd", "l2", Fraction("0.5")),
        ("pgd", "l1", Fraction("7.84")),
        ("pgd", "l1", 12),
        ("autoattack", "linf", Fraction(8, 255)),
    ]
    pgd = [one for one in attacks if one.name == "pgd"]
    assert {(one.get("steps"), one.get("step_size")) for one in pgd} == {(20, None)}  # eps / 10


def test_clae_s_three_branches() -> None:
    found = {
        CATALOG.label("methods", e.probing.pretraining.objective): (
            str(e.probing.pretraining.encoder),
            str(e.probing.probe),
            e.probing.pretraining.recipe.epochs,
            e.probing.pretraining.recipe.batch,
            e.probing.pretraining.recipe.optimizer,
        )
        for e in planned("paper/clae")
    }
    simclr = (
        "resnet18(embedding=0, normalize=half, stem=cifar, width=64)",
        "linear-adam(batch=256, epochs=1000, lr=0.0003)",
        *(100, 256, "adam"),
    )
    instance = (EMBEDDING, "linear-adam(batch=128, epochs=1000, lr=0.0003)", 301, 128, "sgd")
    assert found == {
        "plain(base=clae)": simclr,
        "clae": simclr,
        "plain(base=plain, output=0)": instance,
        "clae(base=plain, output=0)": instance,
        "plain(base=uel, output=0)": instance,
        "clae(base=uel, output=0)": instance,
    }


@pytest.mark.parametrize("base", ["plain", "uel"])
@pytest.mark.parametrize("method", ["plain", "clae"])
def test_on_plain_and_uel_the_loss_and_the_classifier_see_the_same_128_outputs(
    method: str, base: str
) -> None:
    methods, sources = parse_list(f"{method}(base={base}, output=0)"), parse_list("cifar10")
    request = Request(preset="paper/clae", methods=methods, sources=sources)
    (training,) = {e.probing.pretraining for e in plan(request, CATALOG)}
    encoder = CATALOG.build("encoders", training.encoder)
    objective = CATALOG.build_objective(training.objective, encoder)
    assert encoder.width == 128
    assert not list(objective.projector.parameters())
    last = [layer for layer in encoder.modules() if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in last] == [(128, 512)]
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = encoder(images)
    torch.testing.assert_close(features.square().sum(1), torch.ones(4))


HALF = "resnet18(embedding=0, normalize=half, stem=cifar, width=64)"


@pytest.mark.parametrize(
    ("typed", "encoders", "probes"),
    [
        # A pairing is for every method that agrees with it; what is typed wins.
        ({"methods": "clae(base=uel, eps=0.01)"}, {CIFAR}, {"linear-adam(batch=128"}),
        ({"methods": "clae(eps=0.01),rocl"}, {HALF}, {"linear-adam(batch=256"}),
        (
            {"encoders": "resnet8", "probes": "linear"},
            {"resnet8(embedding=0, normalize=half, stem=cifar, width=16)"},
            {"linear(strength=none)"},
        ),
    ],
)
def test_pairings(typed: dict[str, str], encoders: set[str], probes: set[str]) -> None:
    request = Request(preset="paper/clae", **{k: parse_list(v) for k, v in typed.items()})
    found = [evaluation.probing for evaluation in plan(request, CATALOG)]
    assert {str(probing.pretraining.encoder) for probing in found} == encoders
    assert {str(probing.probe).partition(",")[0] for probing in found} == probes


def test_a_wheel_has_the_tables_and_values() -> None:
    root = Path(__file__).parents[2]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    packaged = settings["tool"]["setuptools"]["package-data"].items()
    folders = {root / package.replace(".", "/"): patterns for package, patterns in packaged}
    found = {
        file for folder, those in folders.items() for one in those for file in folder.glob(one)
    }
    data = [f for kind in ("toml", "csv", "json") for f in (root / "robench").rglob(f"*.{kind}")]
    assert found > set(data)  # and py.typed
    assert len(data) > 4


def test_of_several_pairings_the_first_one_counts() -> None:
    first = Pairing(("plain",), recipe=Recipe(1, 8), arguments=("plain(temperature=0.9)",))
    pairings = (first, Pairing(("plain",), recipe=Recipe(2, 8)))
    preset = replace(CATALOG.preset("quick"), pairings=pairings)
    evaluations = grid(Request(methods=parse_list("plain")), preset, CATALOG)
    trainings = {evaluation.probing.pretraining for evaluation in evaluations}
    found = {(one.objective.get("temperature"), one.recipe.epochs) for one in trainings}
    assert found == {(Fraction("0.9"), 1)}
