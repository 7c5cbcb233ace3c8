"""A preset in full, for a terminal and for programs: its run, its sources, its differences."""

import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import groupby
from typing import Any

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.grid.recipe import Recipe
from robench.grid.spec import Spec
from robench.presets import BUILT_IN, Setting

Shown = Mapping[str, Any]
"""A preset in JSON's types. ``others`` is the schedule of methods that it does not list, ``images``
and ``limit`` are the images that a probe is fitted on and that are attacked (None: all).
"""


def shown(name: str, catalog: Catalog) -> Shown:
    """The preset of that name, resolved: the arguments of every component are written out.

    Raises SpecError with the nearest names where there is none.
    """
    preset = catalog.preset(name)
    evaluations = plan(Request(preset=name), catalog)
    probings = list(dict.fromkeys(evaluation.probing for evaluation in evaluations))
    trained = [probing.pretraining for probing in probings]
    trainings = {(one.objective, one.encoder, one.recipe): list[str]() for one in trained}
    for probing, one in zip(probings, trained, strict=True):
        probes = trainings[one.objective, one.encoder, one.recipe]
        probes += [_full(probing.probe)] if _full(probing.probe) not in probes else []
    return {
        "name": name,
        "summary": preset.summary,
        "trainings": [
            {
                "method": _full(method),
                "encoder": _full(encoder),
                "recipe": asdict(recipe),
                "probes": probes,
            }
            for (method, encoder, recipe), probes in trainings.items()
        ],
        "others": "their own recipe" if preset.recipe is None else "the preset's recipe",
        "sources": list(dict.fromkeys(_full(one.dataset) for one in trained)),
        "targets": list(dict.fromkeys(_full(probing.dataset) for probing in probings)),
        "attacks": list(dict.fromkeys(_full(evaluation.attack) for evaluation in evaluations)),
        "seeds": list(preset.seeds),
        "images": preset.probe_images,
        "limit": preset.limit,
        "batch": preset.batch,
        "settings": list(map(asdict, preset.settings)),
        "differences": list(map(asdict, preset.differences)),
    }


def _full(spec: Spec) -> str:
    """The spec without what it leaves to the component, such as a number of the base."""
    return str(Spec(spec.name, tuple(one for one in spec.arguments if one[1] is not None)))


def as_json(preset: Shown) -> str:
    """The preset as one JSON object."""
    return json.dumps(preset, indent=1, ensure_ascii=False)


def as_text(preset: Shown, columns: int | None = None) -> str:
    """The preset to read, as wide as the terminal where ``columns`` are not given."""
    width = columns or shutil.get_terminal_size((100, 24)).columns
    width = min(max(width, 60), 110)  # longer lines are hard to read
    lines = [*_rows([(preset["name"], preset["summary"])], width), "", "What it runs"]
    for training in preset["trainings"]:
        rows = [(name, training[name]) for name in ("method", "encoder")]
        rows.append(("recipe", recipe_as_typed(training["recipe"])))
        rows += [("probe", probe) for probe in training["probes"]]
        lines += [*_rows(rows, width, 2), ""]
    images, limit = (preset[name] or "all" for name in ("images", "limit"))
    rows = [
        ("other methods", f"train by {preset['others']}"),
        ("sources", ", ".join(preset["sources"])),
        ("targets", ", ".join(preset["targets"])),
        *(("attack", attack) for attack in preset["attacks"]),
        ("seeds", ", ".join(map(str, preset["seeds"]))),
        ("probed on", f"{images} training images"),
        ("attacked", f"{limit} test images, {preset['batch']} at a time"),
    ]
    lines += [*_rows(rows, width, 2), ""]
    settings = [Setting(**setting) for setting in preset["settings"]]
    lines += ["What the authors' code sets, and where"] if settings else []
    for part, group in groupby(settings, lambda setting: setting.part):
        rows = [(one.name, f"{explained(one)}  [{one.source}]") for one in group]
        lines += [f"  {headline(part)}", *_rows(rows, width, 4)]
    lines += ["", "Where paper, code and robench differ"] if preset["differences"] else []
    for one in preset["differences"]:
        sides = [(side, one[side]) for side in ("paper", "code", "here") if one[side]]
        lines += [f"  {one['point']}", *_rows(sides, width, 4)]
    return "\n".join(lines).rstrip() + "\n"


def headline(part: str) -> str:
    """The heading of the settings of a part."""
    return part.replace(BUILT_IN, "in the code of the components") or "preset"


def explained(setting: Setting) -> str:
    """The value of a setting, with its note."""
    return f"{setting.value} ({setting.note})" if setting.note else setting.value


def recipe_as_typed(recipe: Mapping[str, Any]) -> str:
    """The fields that a recipe sets, with the keys and values of ``--set``."""
    changed = {one.name for one in fields(Recipe) if recipe[one.name] != one.default}
    values = {name: recipe[name] for name in ("epochs", "batch", "optimizer", "lr", "schedule")}
    values |= {name: value for name, value in recipe.items() if name in changed}
    if recipe["falls"]:
        values["falls"] = ",".join(f"{epoch}:{share:g}" for epoch, share in recipe["falls"])
    shown = {n: f"{v:.6g}" if isinstance(v, float) else v for n, v in values.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())


def _rows(rows: Sequence[tuple[str, str]], width: int, indent: int = 0) -> Iterator[str]:
    """Names in one column and wrapped texts in the next; a long name has a line of its own."""
    column = indent + 2 + min(max(len(name) for name, _ in rows), 24)
    for name, text in rows:
        first = f"{' ' * indent}{name}"
        if len(first) + 2 > column:
            yield first
            first = ""
        yield from textwrap.wrap(
            text,
            width,
            initial_indent=first.ljust(column),
            subsequent_indent=" " * column,
            break_on_hyphens=False,
        )
