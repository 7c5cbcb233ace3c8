"""`robench presets` prints a preset in full."""

import re

import pytest
from commands import robench

from robench.catalog.catalog import Catalog
from robench.grid.recipe import Recipe
from robench.report.preset import as_text, explained, recipe_as_typed

CATALOG = Catalog()
NAMES = CATALOG.names("presets")


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_shown(name: str) -> None:
    preset = CATALOG.preset(name)
    text = " ".join(as_text(name, CATALOG, 100).split())
    for setting in preset.settings:
        assert f"{setting.name} {explained(setting)} [{setting.source}]" in text
    for difference in preset.differences:
        for side in (difference.point, difference.paper, difference.code, difference.here):
            assert side in text
    for method in preset.methods:
        assert f"method {method.partition('(')[0]}(" in text
    for columns in (40, 60, 80, 300):
        lines = as_text(name, CATALOG, columns).splitlines()
        assert max(map(len, lines)) <= min(max(columns, 60), 110)
    others = "the preset's" if preset.recipe else "their own"
    assert f"other methods train by {others} recipe" in text


def test_it_is_printed_with_all_that_runs() -> None:
    done = robench("presets", "show", "paper/rocl")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"temperature +0\.5  \[src/argument\.py:130\]", done.out)
    text = " ".join(done.out.split())
    assert "pgd(eps=0.0627, norm=linf" in text
    assert "step_size=none" in text  # of the attack: it is chosen by eps and steps
    assert "resnet18(embedding=0, normalize=none, stem=cifar, width=64)" in text


def test_presets_are_listed_and_a_mistyped_one_has_near_ones() -> None:
    done = robench("presets")
    rows = done.out.split("\n\n")[0].splitlines()[2:]
    assert [row.split()[0] for row in rows if row[0] != " "] == NAMES
    done = robench("presets", "show", "paper/rocky")
    assert done.code == 2
    assert "no preset 'paper/rocky'; did you mean paper/rocl" in done.err


def test_a_recipe_is_shown_as_it_is_typed() -> None:
    recipe = Recipe(
        9, 8, lr=1e-6, schedule="steps", falls=((3, 0.5), (6, 0.1)), warmup_start=1 / 15
    )
    typed = "epochs=9, batch=8, optimizer=adam, lr=1e-06, schedule=steps, warmup_start=0.0666667, "
    assert recipe_as_typed(recipe) == typed + "falls=3:0.5,6:0.1"
