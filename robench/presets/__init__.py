"""Named settings for a whole run, one a file: what is not typed comes from here.

The preset of a paper is a TOML file. Each of its settings is a ``value`` and a ``source``, the file
and line of the authors' code, and the value that is shown is the value that runs.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.resources import files
from typing import Any

from robench.grid.recipe import Recipe

Radii = Mapping[str, tuple[str, ...]]
"""The radii at which an attack is tried, by its norm."""

EPS: Radii = {
    "linf": ("4/255", "8/255"),
    "l2": ("0.25", "0.5"),
    "l1": ("7.84", "12"),
}
"""RoCL's table 1, with linf 4/255 instead of 16/255, which nothing small survives."""

BUILT_IN = "built_in"
"""The part of the settings that the code of the components has, and the preset does not set."""


@dataclass(frozen=True)
class Setting:
    """A setting of the authors' code, with the file and line that set it as its ``source``.

    ``part`` is the component, "recipe", `BUILT_IN`, or "" for a field of the preset.
    """

    part: str
    name: str
    value: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """A point where the paper, its authors' code and robench differ; "" where one says nothing."""

    point: str
    here: str
    paper: str = ""
    code: str = ""


@dataclass(frozen=True)
class Pairing:
    """Settings of some methods alone, which win over the preset's; what is empty is the preset's.

    They are for every method that agrees with one of ``methods`` in all that it names:
    "clae(base=uel)" is any CLAE on that base. Of several pairings the first wins.
    """

    methods: tuple[str, ...]
    encoders: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    recipe: Recipe | None = None
    arguments: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Preset:
    """Everything that a run needs. Specs are as typed on the command line.

    ``recipe`` None leaves the schedule to each method's own. ``radii`` are an attack's own, by its
    name, which is then tried in those of the ``norms`` that it has radii for; ``eps`` are those of
    all others. ``probe_images`` None fits probes on all training images; ``limit`` None evaluates
    all test images, ``batch`` at a time. ``arguments`` are specs whose arguments replace the
    defaults of the component of that name.
    """

    summary: str
    methods: tuple[str, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    encoders: tuple[str, ...]
    recipe: Recipe | None = None
    attacks: tuple[str, ...] = ("pgd", "autoattack")
    probes: tuple[str, ...] = ("linear",)
    norms: tuple[str, ...] = ("linf",)
    eps: Radii = field(default_factory=lambda: EPS)
    radii: Mapping[str, Radii] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    probe_images: int | None = None
    limit: int | None = None
    batch: int = 250  # the batch of the official AutoAttack
    arguments: tuple[str, ...] = ()
    pairings: tuple[Pairing, ...] = ()
    settings: tuple[Setting, ...] = ()
    differences: tuple[Difference, ...] = ()


_PAPERS = files(__name__) / "papers"


def paper_names() -> list[str]:
    """The names of the papers' presets, sorted: ``paper/rocl`` is ``papers/rocl.toml``."""
    stems = [file.name.removesuffix(".toml") for file in _PAPERS.iterdir()]
    return sorted(f"paper/{stem}" for stem in stems if not stem.startswith("_"))


def paper(name: str) -> Preset:
    """Read the preset of a paper, one of `paper_names`."""
    settings: list[Setting] = []
    values = _values(_read(name.removeprefix("paper/")), (), settings)
    pairings = tuple(Pairing(**_built(pairing)) for pairing in values.pop("pairings", ()))
    differences = tuple(Difference(**difference) for difference in values.pop("differences"))
    return Preset(
        **_built(values), pairings=pairings, settings=tuple(settings), differences=differences
    )


def _read(stem: str) -> dict[str, Any]:
    content = tomllib.loads((_PAPERS / f"{stem}.toml").read_text("utf-8"))
    shared = content.pop("extends", None)
    return _merged(content, _read(shared)) if shared else content


def _merged(own: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Tables are merged; a list has its own items before the shared ones."""
    merged = {**shared, **own}
    for name in own.keys() & shared.keys():
        if isinstance(own[name], dict):
            merged[name] = _merged(own[name], shared[name])
        elif isinstance(own[name], list):
            merged[name] = own[name] + shared[name]
    return merged


def _values(node: Any, path: tuple[str, ...], settings: list[Setting]) -> Any:
    """The content with each setting's value in its place; the settings themselves are appended."""
    match node:
        case {"value": value, "source": source}:
            *parts, name = path
            note = node.get("note", "")
            settings.append(Setting(" ".join(parts), name, _shown(value), source, note))
            return _values(value, path, settings)
        case dict():
            path = (f"{node['name']}:",) if "name" in node else path
            return {
                name: _values(inside, path if name == "arguments" else (*path, name), settings)
                for name, inside in node.items()
            }
        case list():
            return tuple(_values(one, path, settings) for one in node)
    return node


def _shown(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case [[int(), float()], *_]:  # the falls of a recipe, as typed
            return ",".join(f"{epoch}:{share:g}" for epoch, share in value)
        case list():
            return ", ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _built(values: dict[str, Any]) -> dict[str, Any]:
    """Keywords of `Preset` and `Pairing`: the recipe as one, the arguments as specs."""
    values.pop(BUILT_IN, None)
    if recipe := values.get("recipe"):
        start = float(Fraction(recipe.get("warmup_start", 0)))  # 1/15 has no decimal
        values["recipe"] = Recipe(**{**recipe, "warmup_start": start})
    arguments = (
        f"{name}({', '.join(f'{key}={value}' for key, value in given.items())})"
        for name, given in values.get("arguments", {}).items()
    )
    return {**values, "arguments": tuple(arguments)}
