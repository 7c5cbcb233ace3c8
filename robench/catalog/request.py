"""Options, each written once.

The fields of `Request` and `Places` are the options of the command line and the keywords of
``robench.run``. Values are taken as typed (``"plain,rocl(steps=5)"``, ``8 / 255``), and are read
and checked when the dataclass is made.
"""

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from robench.catalog.settings import Setting, recipe_value, settings, whole
from robench.grid.spec import Spec, SpecError, exact, nearest, parse_list, show_number

R = TypeVar("R")

Names = str | Spec | Sequence[str | Spec] | None
"""As typed: ``"plain,rocl(steps=5)"``, or a list of such."""


@dataclass(frozen=True)
class Option:
    """A field as an option: its help, and how a typed value is read.

    ``flag`` is its name on the command line where that is not the field's. A ``repeated`` option
    has one value each time that it is typed.
    """

    help: str
    read: Callable[[str, Any], Any]
    flag: str = ""
    metavar: str | None = None
    repeated: bool = False


def specs(name: str, value: Names) -> tuple[Spec, ...]:
    """Read specs from a list between commas, or from several such lists.

    Raises SpecError for an empty list, or an item that cannot be read.
    """
    items = _several(value, str | Spec)
    return tuple(
        s for item in items for s in ([item] if isinstance(item, Spec) else parse_list(item))
    )


def words(name: str, value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Read words between commas, as typed. Raises SpecError where there are none."""
    items = _several(value, str)
    found = tuple(part.strip() for item in items for part in str(item).split(",") if part.strip())
    if items and not found:
        raise SpecError(f"{name}: the list is empty; write one item or more, with commas between")
    return found


def radii(name: str, value: str | float | Sequence[str | float] | None) -> tuple[str, ...]:
    """Read radii: ``"8/255,4/255"`` as typed, and Python's ``8 / 255`` as the fraction it was."""
    items = _several(value, str | int | float)
    return words(name, [i if isinstance(i, str) else show_number(exact(i)) for i in items])


def seeds(name: str, value: str | int | Sequence[int] | None) -> tuple[int, ...]:
    """Read whole numbers, at least 0."""
    items = words(name, value) if isinstance(value, str) else _several(value, int)
    return tuple(seed for item in items if (seed := whole(name, item, 0)) is not None)


def paths(name: str, value: Path | str | Sequence[Path | str] | None) -> tuple[Path, ...]:
    """Read paths."""
    return tuple(Path(item) for item in _several(value, str | Path))


def path(name: str, value: Path | str | None) -> Path | None:
    """Read a path."""
    return None if value is None else Path(value)


def word(name: str, value: object) -> str:
    """Read one word."""
    return str(value)


def _several(value: Any, one: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return [value] if isinstance(value, one) else tuple(value)


def _option(
    help: str,  # noqa: A002
    read: Callable[[str, Any], Any] = specs,
    default: Any = (),
    **more: Any,
) -> Any:
    return field(default=default, metadata={"option": Option(help, read, **more)})


def _of_recipe(help: str, metavar: str = "N") -> Any:  # noqa: A002
    return _option(help, recipe_value, None, metavar=metavar)


@dataclass(frozen=True)
class Request:
    """A grid to be answered. None and empty leave a choice to the preset."""

    methods: tuple[Spec, ...] = _option('Objectives, such as plain,clae,"rocl(steps=10)".')
    attacks: tuple[Spec, ...] = _option(
        "Attacks, such as pgd,autoattack; clean accuracy is always a column."
    )
    preset: str = _option(
        "Named settings for all that is not typed; see `robench presets`.", word, "quick"
    )
    sources: tuple[Spec, ...] = _option("Data sets to pretrain on.")
    targets: tuple[Spec, ...] = _option(
        "Data sets to probe and attack on; others than the source are transfers."
    )
    encoders: tuple[Spec, ...] = _option('Architectures, such as resnet18 or "resnet8(width=32)".')
    probes: tuple[Spec, ...] = _option("Classifiers on features, such as linear,linear-sgd.")
    seeds: tuple[int, ...] = _option("Seeds of the pretraining, such as 0,1,2.", seeds)
    norms: tuple[str, ...] = _option("Norms of the attacks: linf, l2, l1.", words, flag="norm")
    eps: tuple[str, ...] = _option("Radii in pixels of [0, 1], such as 8/255,4/255; exact.", radii)
    limit: int | None = _option(
        "Evaluate N test images (a fixed random choice).", whole, None, metavar="N"
    )
    images: int | None = _of_recipe("Train encoders and probes on N images.")
    epochs: int | None = _of_recipe("Pretrain for N epochs; warm-up and steps shrink with them.")
    batch: int | None = _of_recipe("Images in a batch of the pretraining.")
    lr: float | None = _of_recipe("Peak learning rate of the pretraining.", "X")
    precision: str | None = _of_recipe("Precision of the pretraining: fp32 or bf16.", "NAME")
    settings: tuple[Setting, ...] = _option(
        "Another setting of the pretraining's recipe, such as weight_decay=1e-4 or rocl.lr=0.5.",
        settings,
        flag="set",
        metavar="[METHOD.]KEY=VALUE",
        repeated=True,
    )

    def __post_init__(self) -> None:
        _read(self)
        keys = [(setting.key, setting.method) for setting in self.settings]
        keys += [(name, None) for name in self._typed()]
        for key, method in keys:
            if keys.count((key, method)) > 1:
                raise SpecError(f"{f'{method}.' if method else ''}{key} is given twice")

    def _typed(self) -> dict[str, Any]:
        named = {f.name: getattr(self, f.name) for f in fields(self) if _of(f).read is recipe_value}
        return {name: value for name, value in named.items() if value is not None}

    def recipe(self, agrees: Callable[[Spec], bool]) -> dict[str, Any]:
        """The typed fields of a recipe; settings for one method count where it ``agrees``."""
        general = {s.key: s.value for s in self.settings if s.method is None}
        own = {s.key: s.value for s in self.settings if s.method and agrees(s.method)}
        return self._typed() | general | own


@dataclass(frozen=True)
class Places:
    """The folders of results, encoders and data, the device, and files with components."""

    out: Path | None = _option("Results folder.  [default: its own under results/]", path, None)
    zoo: Path = _option("Folder of encoders.", path, Path("zoo"))
    data: Path | None = _option(
        "Folder of data sets.  [default: $ROBENCH_DATA or data]", path, None, metavar="DIR"
    )
    device: str = _option("auto, cpu, cuda or cuda:N.", word, "auto")
    plugins: tuple[Path, ...] = _option(
        "A Python file with one component of your own. Its code is run: use files you trust.",
        paths,
        flag="plugin",
        metavar="FILE",
        repeated=True,
    )

    def __post_init__(self) -> None:
        _read(self)

    @property
    def root(self) -> Path:
        """The folder of data sets: as given, else ``ROBENCH_DATA``, else ``data``."""
        return self.data or Path(os.environ.get("ROBENCH_DATA") or "data")


def options(kind: type, *names: str) -> dict[str, tuple[Option, Any]]:
    """The options of a dataclass, or those of these names, each with its default."""
    return {f.name: (_of(f), f.default) for f in fields(kind) if not names or f.name in names}


TAKEN: Sequence[str] = ("request", "places")


def keywords(kind: type, *names: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Let a function with a parameter ``request`` or ``places`` be called with its fields instead.

    All fields, or those of these ``names``; they stand in its signature and its docstring. A call
    raises TypeError with the nearest names for one that does not exist.
    """
    known, taken = options(kind, *names), kind.__name__.lower()

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        parameters = []
        for one in inspect.signature(function).parameters.values():
            added = [_parameter(name, *option, one.kind) for name, option in known.items()]
            parameters += added if one.name == taken else [one]
        signature = inspect.Signature(sorted(parameters, key=lambda one: one.kind))

        @wraps(function)
        def called(*given: Any, **named: Any) -> R:
            made = {one: named.pop(one) for one in TAKEN if one in named}
            for name in named:
                if name not in signature.parameters:
                    hint = nearest(name, list(signature.parameters))
                    raise TypeError(f"{function.__name__}() has no argument '{name}'; {hint}")
            values = signature.bind_partial(*given, **named).arguments
            own = {name: values.pop(name) for name in known if name in values}
            made.setdefault(taken, kind(**own))
            return function(**values, **made)

        lines = [f"    {name}: {option.help}" for name, (option, _) in known.items()]
        called.__doc__ = "\n".join([(function.__doc__ or "").rstrip(), "", *lines])
        called.__signature__ = signature  # type: ignore[attr-defined]
        return called

    return decorate


def _parameter(name: str, option: Option, default: Any, kind: Any) -> inspect.Parameter:
    hint = inspect.signature(option.read).parameters["value"].annotation
    return inspect.Parameter(name, kind, default=default or None, annotation=hint)


def _of(one: "Field[Any]") -> Option:
    option = one.metadata["option"]
    assert isinstance(option, Option)
    return option


def _read(made: Request | Places) -> None:
    for name, (option, _) in options(type(made)).items():
        object.__setattr__(made, name, option.read(name, getattr(made, name)))
