"""`robench presets` prints a preset in full."""

import json

import pytest
from commands import robench

from robench.catalog.catalog import Catalog
from robench.grid.recipe import Recipe
from robench.report.preset import as_text, explained, schedule, shown

CATALOG = Catalog()
NAMES = CATALOG.names("presets")


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_shown(name: str) -> None:
    preset = CATALOG.preset(name)
    text = " ".join(as_text(shown(name, CATALOG), 100).split())
    for setting in preset.settings:
        assert f"{setting.name} {explained(setting)} [{setting.source}]" in text
    for difference in preset.differences:
        for side in (difference.point, difference.paper, difference.code, difference.here):
            assert side in text
    for method in preset.methods:
        assert f"method {method.partition('(')[0]}(" in text


@pytest.mark.parametrize(
    ("name", "words"), [("quick", "the preset's recipe"), ("paper/clae", "their own recipe")]
)
def test_the_schedule_of_other_methods_is_said(name: str, words: str) -> None:
    assert f"other methods train by {words}" in " ".join(as_text(shown(name, CATALOG)).split())


@pytest.mark.parametrize("columns", [40, 60, 80, 300])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    lines = as_text(shown("paper/clae", CATALOG), columns).splitlines()
    assert max(map(len, lines)) <= min(max(columns, 60), 110)


def test_it_is_shown_on_the_command_line() -> None:
    done = robench("presets", "show", "paper/rocl")
    assert (done.code, done.err) == (0, "")
    for part in (
        "encoder   resnet18(embedding=0, normalize=none, stem=cifar, width=64)",
        "What the authors' code sets, and where",
        "temperature    0.5  [src/argument.py:130]",
        "Where paper, code and robench differ",
        "pgd(eps=0.0627, norm=linf",
    ):
        assert part in done.out


def test_it_is_one_json_object_for_programs() -> None:
    done = robench("presets", "show", "paper/clae", "--json")
    assert done.code == 0
    shown_json = json.loads(done.out)
    assert shown_json["name"] == "paper/clae"
    assert len(shown_json["trainings"]) == 6
    assert shown_json["trainings"][2]["recipe"]["falls"] == [[120, 0.1], [160, 0.05], [200, 0.01]]
    assert {"part", "name", "value", "source", "note"} == set(shown_json["settings"][0])
    assert {"point", "paper", "code", "here"} == set(shown_json["differences"][0])


@pytest.mark.parametrize("words", [["presets"], ["presets", "list"]])
def test_presets_are_listed(words: list[str]) -> None:
    done = robench(*words)
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == NAMES


def test_a_mistyped_preset_has_near_ones() -> None:
    done = robench("presets", "show", "paper/rocky")
    assert done.code == 2
    assert "no preset 'paper/rocky'; did you mean paper/rocl" in done.err
    assert "no preset 'paper'; did you mean paper/" in robench("run", "--preset", "paper").err


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (
            Recipe(1, 8, images=2048, lr=1e-3),
            "1 epoch of 2,048 images in batches of 8; adam, lr 0.001, weight decay 0; "
            "half a cosine down to 0 at the end; lr changes each step; fp32",
        ),
        (
            Recipe(9, 8, optimizer="sgd", schedule="constant", warmup=1, update="epoch"),
            "9 epochs of all images in batches of 8; sgd, lr 0.001, momentum 0.9, weight decay 0; "
            "warm-up over 1 epoch from lr 0; then constant; lr changes each epoch; fp32",
        ),
        (
            Recipe(9, 8, schedule="steps", falls=((3, 0.5), (6, 0.1)), precision="bf16"),
            "9 epochs of all images in batches of 8; adam, lr 0.001, weight decay 0; "
            "0.5 lr from epoch 3, 0.1 lr from epoch 6; bf16",
        ),
        (
            Recipe(9, 8, warmup=2, hold=1, span="all"),
            "9 epochs of all images in batches of 8; adam, lr 0.001, weight decay 0; "
            "warm-up over 2 epochs from lr 0; held for 1 more; half a cosine of 9 epochs, cut off "
            "at the end; lr changes each step; fp32",
        ),
    ],
)
def test_a_schedule_in_words(recipe: Recipe, words: str) -> None:
    assert schedule(recipe) == words
