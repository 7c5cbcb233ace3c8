"""A preset in full, for a terminal and for programs: its run, its sources, its differences."""

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.grid.recipe import Recipe
from robench.grid.spec import Spec
from robench.presets import BUILT_IN, Difference, Setting

Row = tuple[str, str]


@dataclass(frozen=True)
class Training:
    """One encoder of the preset, all its arguments written out, and the probes on it."""

    method: str
    encoder: str
    recipe: Recipe
    probes: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """A preset, resolved: every argument of every component is written out.

    ``others`` is the schedule of methods that the preset does not list. ``images`` and
    ``limit`` are how many a probe is fitted on and how many are attacked (None: all), ``batch`` at
    a time.
    """

    name: str
    summary: str
    trainings: tuple[Training, ...]
    others: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    attacks: tuple[str, ...]
    seeds: tuple[int, ...]
    images: int | None
    limit: int | None
    batch: int
    settings: tuple[Setting, ...]
    differences: tuple[Difference, ...]


def shown(name: str, catalog: Catalog) -> Shown:
    """The preset of that name.

    Raises SpecError with the nearest names where there is none.
    """
    preset = catalog.preset(name)
    evaluations = plan(Request(preset=name), catalog)
    probings = list(dict.fromkeys(evaluation.probing for evaluation in evaluations))
    pretrainings = [probing.pretraining for probing in probings]
    probes: dict[tuple[Spec, Spec, Recipe], dict[Spec, None]] = {}
    for probing in probings:
        trained = probing.pretraining
        place = trained.objective, trained.encoder, trained.recipe
        probes.setdefault(place, {})[probing.probe] = None
    return Shown(
        name=name,
        summary=preset.summary,
        trainings=tuple(
            Training(str(method), str(encoder), recipe, tuple(map(str, found)))
            for (method, encoder, recipe), found in probes.items()
        ),
        others="their own recipe" if preset.recipe is None else "the preset's recipe",
        sources=tuple(dict.fromkeys(str(trained.dataset) for trained in pretrainings)),
        targets=tuple(dict.fromkeys(str(probing.dataset) for probing in probings)),
        attacks=tuple(dict.fromkeys(str(evaluation.attack) for evaluation in evaluations)),
        seeds=tuple(dict.fromkeys(trained.seed for trained in pretrainings)),
        images=probings[0].images,
        limit=preset.limit,
        batch=evaluations[0].batch,
        settings=preset.settings,
        differences=preset.differences,
    )


def as_json(preset: Shown) -> str:
    """The preset as one JSON object, with the names of `Shown`."""
    return json.dumps(asdict(preset), indent=1, ensure_ascii=False)


def as_text(preset: Shown, columns: int | None = None) -> str:
    """The preset to read, as wide as the terminal where ``columns`` are not given."""
    width = columns or shutil.get_terminal_size((100, 24)).columns
    width = min(max(width, 60), 110)  # longer lines are hard to read
    lines = [*_rows([(preset.name, preset.summary)], width), "", "What it runs"]
    for training in preset.trainings:
        rows = [
            ("method", training.method),
            ("encoder", training.encoder),
            ("schedule", schedule(training.recipe)),
            *(("probe", probe) for probe in training.probes),
        ]
        lines += [*_rows(rows, width, 2), ""]
    rows = [
        ("other methods", f"train by {preset.others}"),
        ("sources", ", ".join(preset.sources)),
        ("targets", ", ".join(preset.targets)),
        *(("attack", attack) for attack in preset.attacks),
        ("seeds", ", ".join(map(str, preset.seeds))),
        ("probed on", f"{_count(preset.images)} training images"),
        ("attacked", f"{_count(preset.limit)} test images, {preset.batch} at a time"),
    ]
    lines += [*_rows(rows, width, 2), *_settings(preset.settings, width)]
    if preset.differences:
        lines += ["", "Where paper, code and robench differ"]
    for difference in preset.differences:
        sides = [(name, getattr(difference, name)) for name in ("paper", "code", "here")]
        lines.append(f"  {difference.point}")
        lines += _rows([(name, text) for name, text in sides if text], width, 4)
    return "\n".join(lines) + "\n"


def _settings(settings: Sequence[Setting], width: int) -> Iterator[str]:
    if settings:
        yield from ("", "What the authors' code sets, and where")
    for part, group in groupby(settings, lambda setting: setting.part):
        yield f"  {headline(part)}"
        rows = [(one.name, f"{explained(one)}  [{one.source}]") for one in group]
        yield from _rows(rows, width, 4)


def headline(part: str) -> str:
    """The heading of the settings of a part."""
    return part.replace(BUILT_IN, "in the code of the components") or "preset"


def explained(setting: Setting) -> str:
    """The value of a setting, with its note."""
    return f"{setting.value} ({setting.note})" if setting.note else setting.value


def schedule(recipe: Recipe) -> str:
    """A recipe in words."""
    images = "all images" if recipe.images is None else f"{recipe.images:,} images"
    momentum = "" if recipe.optimizer == "adam" else f", momentum {recipe.momentum:g}"
    parts = [
        f"{_epochs(recipe.epochs)} of {images} in batches of {recipe.batch}",
        f"{recipe.optimizer}, lr {recipe.lr:g}{momentum}, weight decay {recipe.weight_decay:g}",
        *_rates(recipe),
        recipe.precision,
    ]
    return "; ".join(parts)


def _rates(recipe: Recipe) -> Iterator[str]:
    if recipe.warmup:
        yield f"warm-up over {_epochs(recipe.warmup)} from lr {recipe.warmup_start * recipe.lr:g}"
    if recipe.hold:
        yield f"held for {recipe.hold} more"
    match recipe.schedule:
        case "constant":
            yield "then constant" if recipe.warmup else "constant"
        case "steps":
            yield ", ".join(f"{share:g} lr from epoch {at}" for at, share in recipe.falls)
        case "cosine" if recipe.span == "all":
            yield f"half a cosine of {_epochs(recipe.epochs)}, cut off at the end"
        case "cosine":
            yield "half a cosine down to 0 at the end"
    if recipe.schedule == "cosine" or recipe.warmup:
        yield f"lr changes each {recipe.update}"


def _epochs(number: int) -> str:
    return "1 epoch" if number == 1 else f"{number:,} epochs"


def _count(number: int | None) -> str:
    return "all" if number is None else f"{number:,}"


def _rows(rows: Sequence[Row], width: int, indent: int = 0) -> Iterator[str]:
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
