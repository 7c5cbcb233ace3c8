"""A preset in full, for a terminal and for programs: its run, its sources, its differences."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, fields
from itertools import groupby
from textwrap import TextWrapper
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
    trainings: dict[tuple[str, str, Recipe], dict[str, None]] = {}
    sources, targets, attacks = dict[str, None](), dict[str, None](), dict[str, None]()
    for evaluation in plan(Request(preset=name), catalog):
        probing, trained = evaluation.probing, evaluation.probing.pretraining
        training = _full(trained.objective), _full(trained.encoder), trained.recipe
        trainings.setdefault(training, {})[_full(probing.probe)] = None
        sources[_full(trained.dataset)] = targets[_full(probing.dataset)] = None
        attacks[_full(evaluation.attack)] = None
    return {
        "name": name,
        "summary": preset.summary,
        "trainings": [
            {"method": method, "encoder": encoder, "recipe": asdict(recipe), "probes": [*probes]}
            for (method, encoder, recipe), probes in trainings.items()
        ],
        "others": "their own recipe" if preset.recipe is None else "the preset's recipe",
        "sources": [*sources],
        "targets": [*targets],
        "attacks": [*attacks],
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


def as_text(preset: Shown, columns: int | None = None) -> str:
    """The preset to read, as wide as the terminal where ``columns`` are not given."""
    rows = [(preset["name"], preset["summary"]), ("", ""), ("What it runs", "")]
    for training in preset["trainings"]:
        rows += [("  method", training["method"]), ("  encoder", training["encoder"])]
        rows += [("  recipe", recipe_as_typed(training["recipe"]))]
        rows += [*(("  probe", probe) for probe in training["probes"]), ("", "")]
    rows += [
        ("  other methods", f"train by {preset['others']}"),
        ("  sources", ", ".join(preset["sources"])),
        ("  targets", ", ".join(preset["targets"])),
        *(("  attack", attack) for attack in preset["attacks"]),
        ("  seeds", ", ".join(map(str, preset["seeds"]))),
        ("  probed on", f"{preset['images'] or 'all'} training images"),
        ("  attacked", f"{preset['limit'] or 'all'} test images, {preset['batch']} at a time"),
    ]
    settings = [Setting(**setting) for setting in preset["settings"]]
    rows += [("", ""), ("What the authors' code sets, and where", "")] if settings else []
    for part, group in groupby(settings, lambda setting: setting.part):
        rows += [(f"  {headline(part)}", "")]
        rows += [(f"    {one.name}", f"{explained(one)}  [{one.source}]") for one in group]
    differences = preset["differences"]
    rows += [("", ""), ("Where paper, code and robench differ", "")] if differences else []
    for one in differences:
        rows += [(f"  {one['point']}", "")]
        rows += [(f"    {side}", one[side]) for side in ("paper", "code", "here") if one[side]]
    width = columns or shutil.get_terminal_size((100, 24)).columns
    width = min(max(width, 60), 110)  # longer lines are hard to read
    lines = []
    for name, text in rows:
        first, rest = f"{name:22}  ", " " * 24
        wrap = TextWrapper(width, first, rest, break_on_hyphens=False)
        lines += wrap.wrap(text) or [name]
    return "\n".join(lines) + "\n"


def headline(part: str) -> str:
    """The heading of the settings of a part."""
    return part.replace(BUILT_IN, "in the code of the components") or "preset"


def explained(setting: Setting) -> str:
    """The value of a setting, with its note."""
    return f"{setting.value} ({setting.note})" if setting.note else setting.value


def recipe_as_typed(recipe: Mapping[str, Any]) -> str:
    """The fields that a recipe sets, with the keys and values of ``--set``."""
    usual = {one.name: one.default for one in fields(Recipe)}
    names = dict.fromkeys(("epochs", "batch", "optimizer", "lr", "schedule"))
    names |= dict.fromkeys(name for name, value in recipe.items() if value != usual[name])
    falls = ",".join(f"{epoch}:{share:g}" for epoch, share in recipe["falls"])
    values = {name: recipe[name] for name in names} | ({"falls": falls} if falls else {})
    shown = {n: f"{v:.6g}" if isinstance(v, float) else v for n, v in values.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())
