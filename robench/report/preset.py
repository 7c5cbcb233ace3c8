"""A preset in full, to read: its run, its sources, its differences."""

import shutil
from dataclasses import fields
from itertools import groupby
from textwrap import TextWrapper

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.grid.recipe import Recipe
from robench.grid.spec import Spec
from robench.presets import BUILT_IN, Setting


def as_text(name: str, catalog: Catalog, columns: int | None = None) -> str:
    """The preset of that name to read, with every argument of every component as it runs.

    As wide as the terminal where ``columns`` are not given. Raises SpecError with the nearest names
    where there is none.
    """
    preset, evaluations = catalog.preset(name), plan(Request(preset=name), catalog)
    trainings: dict[tuple[Spec, Spec, Recipe], dict[Spec, None]] = {}
    for probing in dict.fromkeys(evaluation.probing for evaluation in evaluations):
        one = probing.pretraining
        trainings.setdefault((one.objective, one.encoder, one.recipe), {})[probing.probe] = None
    sources = dict.fromkeys(str(one.probing.pretraining.dataset) for one in evaluations)
    targets = dict.fromkeys(str(one.probing.dataset) for one in evaluations)
    attacks = dict.fromkeys(str(one.attack) for one in evaluations)
    rows = [(name, preset.summary), ("", ""), ("What it runs", "")]
    for (method, encoder, recipe), probes in trainings.items():
        rows += [("  method", str(method)), ("  encoder", str(encoder))]
        rows += [("  recipe", recipe_as_typed(recipe))]
        rows += [*(("  probe", str(probe)) for probe in probes), ("", "")]
    others = "their own recipe" if preset.recipe is None else "the preset's recipe"
    rows += [
        ("  other methods", f"train by {others}"),
        ("  sources", ", ".join(sources)),
        ("  targets", ", ".join(targets)),
        *(("  attack", attack) for attack in attacks),
        ("  seeds", ", ".join(map(str, preset.seeds))),
        ("  probed on", f"{preset.probe_images or 'all'} training images"),
        ("  attacked", f"{preset.limit or 'all'} test images, {preset.batch} at a time"),
    ]
    rows += [("", ""), ("What the authors' code sets, and where", "")] if preset.settings else []
    for part, group in groupby(preset.settings, lambda setting: setting.part):
        rows += [(f"  {headline(part)}", "")]
        rows += [(f"    {one.name}", f"{explained(one)}  [{one.source}]") for one in group]
    if preset.differences:
        rows += [("", ""), ("Where paper, code and robench differ", "")]
    for point in preset.differences:
        sides = ("paper", point.paper), ("code", point.code), ("here", point.here)
        rows += [(f"  {point.point}", ""), *((f"    {side}", text) for side, text in sides if text)]
    width = columns or shutil.get_terminal_size((100, 24)).columns
    width = min(max(width, 60), 110)  # longer lines are hard to read
    lines = []
    for heading, text in rows:
        wrap = TextWrapper(width, f"{heading:22}  ", " " * 24, break_on_hyphens=False)
        lines += wrap.wrap(text) or [heading]
    return "\n".join(lines) + "\n"


def headline(part: str) -> str:
    """The heading of the settings of a part."""
    return part.replace(BUILT_IN, "in the code of the components") or "preset"


def explained(setting: Setting) -> str:
    """The value of a setting, with its note."""
    return f"{setting.value} ({setting.note})" if setting.note else setting.value


def recipe_as_typed(recipe: Recipe) -> str:
    """The fields that a recipe sets, with the keys and values of ``--set``."""
    usual = {one.name: one.default for one in fields(Recipe)}
    names = dict.fromkeys(("epochs", "batch", "optimizer", "lr", "schedule"))
    names |= dict.fromkeys(name for name, value in vars(recipe).items() if value != usual[name])
    values = {name: getattr(recipe, name) for name in names}
    if recipe.falls:
        values["falls"] = ",".join(f"{epoch}:{share:g}" for epoch, share in recipe.falls)
    shown = {n: f"{v:.6g}" if isinstance(v, float) else v for n, v in values.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())
