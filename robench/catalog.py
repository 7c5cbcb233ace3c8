"""From what was typed to components: names found, arguments checked, defaults filled, before any compute.

A component's name is its file's name (``linear-sgd`` is ``linear_sgd.py``); the file's one public class or function that
fits its kind is the component. Nothing is registered anywhere.
"""

import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch

from robench import contracts
from robench.contracts import Attack, Dataset, Encoder, Metric, Objective, Probe
from robench.presets import Preset
from robench.spec import Spec, SpecError, Value, exact, parse, show
from robench.tensors.modes import preserved_random_state

Kind = Literal["methods", "encoders", "datasets", "probes", "attacks", "metrics", "presets"]

_PACKAGES: Mapping[str, str] = {
    "methods": "objectives",
    "encoders": "encoders",
    "datasets": "datasets",
    "probes": "probes",
    "attacks": "attacks",
    "metrics": "metrics",
    "presets": "presets",
}
_BASES: Mapping[str, type] = {
    "methods": Objective,
    "encoders": Encoder,
    "datasets": Dataset,
    "probes": Probe,
    "attacks": Attack,
}
KINDS: tuple[str, ...] = tuple(_PACKAGES)
_ENTRY_POINTS = "robench.plugins"


@dataclass(frozen=True)
class Parameter:
    """One argument of a component: its name, the types it takes, and its default in canonical form."""

    name: str
    types: tuple[type, ...]
    default: Value
    required: bool


class Catalog:
    """The components of this package, of installed plug-ins and of the plug-in files given.

    Loading a plug-in runs its code; nothing but the names given here and installed packages is ever loaded.
    Raises SpecError for a plug-in file that cannot be used.
    """

    def __init__(self, plugins: Sequence[Path] = ()) -> None:
        self._plugins: dict[tuple[str, str], ModuleType] = {}
        for point in importlib.metadata.entry_points(group=_ENTRY_POINTS):
            self._add(point.name, importlib.import_module(point.value))
        for path in plugins:
            self._add(path.stem.replace("_", "-"), _load(path))

    def names(self, kind: str) -> list[str]:
        """Every name of a kind, sorted."""
        package = importlib.import_module(f"robench.{_PACKAGES[kind]}")
        folder = Path(next(iter(package.__path__)))
        files = [p.stem.replace("_", "-") for p in folder.glob("*.py") if p.stem[0] != "_"]
        return sorted({*files, *(name for k, name in self._plugins if k == kind)})

    def component(self, kind: str, name: str) -> Any:
        """The class or function of that name.

        Raises SpecError with the nearest names where there is none.
        """
        self.check_name(kind, name)
        return _public(self._module(kind, name), kind)

    def check_name(self, kind: str, name: str) -> None:
        """Raise SpecError with the nearest names where the kind has no such name."""
        known = self.names(kind)
        if name not in known:
            raise SpecError(f"no {kind[:-1]} '{name}'; {nearest(name, known)}")

    def preset(self, name: str) -> Preset:
        """The preset of that name.

        Raises SpecError with the nearest names where there is none.
        """
        self.check_name("presets", name)
        found = self._module("presets", name).preset
        assert isinstance(found, Preset)
        return found

    def metric(self, name: str) -> Metric:
        """The metric of that name."""
        metric: Metric = self.component("metrics", name)
        return metric

    def parameters(self, kind: str, name: str) -> dict[str, Parameter]:
        """The arguments that a spec of this component takes, in the order of its signature."""
        return _parameters(self.component(kind, name))

    def summary(self, kind: str, name: str) -> str:
        """The first sentence of what the component says of itself."""
        if kind == "presets":
            return self.preset(name).summary
        text = inspect.getdoc(self.component(kind, name)) or ""
        return " ".join(text.partition("\n\n")[0].split())

    def signature(self, kind: str, name: str) -> str:
        """The component's arguments with their defaults, as one would type them; "" where it takes none."""
        if kind == "presets":
            return ""
        inside = [
            f"{name}=..." if p.required else f"{name}={show(p.default)}"
            for name, p in self.parameters(kind, name).items()
        ]
        return f"{name}({', '.join(inside)})" if inside else ""

    def resolve(self, kind: str, spec: Spec, preset: Sequence[Spec] = ()) -> Spec:
        """The spec with every argument written out: as typed, else as the ``preset`` has it, else the default.

        Raises SpecError for an unknown name or argument, or a value of the wrong type or out of range.
        """
        parameters = self.parameters(kind, spec.name)
        known = [own for own in preset if own.name == spec.name]
        given = dict(spec.with_defaults(dict(known[0].arguments) if known else {}).arguments)
        for argument in given:
            if argument not in parameters:
                takes = nearest(argument, list(parameters)) if parameters else "it takes none"
                raise SpecError(f"{spec.name} has no argument '{argument}'; {takes}")
        full = {}
        for parameter in parameters.values():
            if parameter.required and parameter.name not in given:
                raise SpecError(f"{spec.name} needs {parameter.name}=...")
            value = given.get(parameter.name, parameter.default)
            full[parameter.name] = _canonical(value, parameter, spec.name)
        resolved = Spec(spec.name, tuple(full.items()))
        self._try(kind, resolved)
        return resolved

    def build(self, kind: str, spec: str | Spec) -> Any:
        """Make the component that a resolved spec describes; an objective also needs `build_objective`'s encoder."""
        spec = parse(spec) if isinstance(spec, str) else spec
        return self.component(kind, spec.name)(**self._arguments(kind, spec))

    def build_objective(self, spec: str | Spec, encoder: Encoder) -> Objective:
        """Make the objective that a resolved spec describes, around an encoder."""
        spec = parse(spec) if isinstance(spec, str) else spec
        objective = self.component("methods", spec.name)(
            encoder, **self._arguments("methods", spec)
        )
        assert isinstance(objective, Objective)
        return objective

    def label(self, kind: str, spec: str, without: Sequence[str] = ()) -> str:
        """The name as a table prints it: with the arguments that differ from the defaults, but ``without`` those."""
        full = parse(spec)
        parameters = self.parameters(kind, full.name)
        told = tuple(
            (name, value)
            for name, value in full.arguments
            if name not in without
            and (name not in parameters or value != parameters[name].default)
        )
        return str(Spec(full.name, told))

    def _arguments(self, kind: str, spec: Spec) -> dict[str, bool | int | float | str | None]:
        parameters = self.parameters(kind, spec.name)
        return {name: _native(value, parameters[name]) for name, value in spec.arguments}

    def _try(self, kind: str, spec: Spec) -> None:
        """Build once without memory or dice, so that a value out of range is refused before any compute."""
        try:
            with preserved_random_state(), torch.device("meta"):
                if kind == "methods":
                    self.build_objective(spec, _Stub())
                else:
                    self.build(kind, spec)
        except ValueError as error:
            raise SpecError(f"{spec.name}: {error}") from None

    def _module(self, kind: str, name: str) -> ModuleType:
        if (kind, name) in self._plugins:
            return self._plugins[kind, name]
        return importlib.import_module(f"robench.{_PACKAGES[kind]}.{name.replace('-', '_')}")

    def _add(self, name: str, module: ModuleType) -> None:
        kinds = [kind for kind in _BASES if _candidates(module, kind)]
        if len(kinds) != 1:
            bases = ", ".join(base.__name__ for base in _BASES.values())
            raise SpecError(
                f"plug-in {name}: it should define one public subclass of one of {bases}"
            )
        self._plugins[kinds[0], name] = module


class _Stub(Encoder):
    """Stands for any encoder while an objective's arguments are tried."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 8


def nearest(word: str, known: Sequence[str]) -> str:
    """What to say about a word that is not among the known ones: the close ones first, else all of them."""
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}? (all: {', '.join(known)})"
    return f"choose from {', '.join(known)}"


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise SpecError(f"plug-in '{path}' is not a file; give the path of a Python file")
    spec = importlib.util.spec_from_file_location(f"robench_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SpecError(f"plug-in '{path}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SpecError(f"plug-in '{path}' fails: {type(error).__name__}: {error}") from error
    return module


def _candidates(module: ModuleType, kind: str) -> list[Any]:
    own = [
        value
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", None) == module.__name__
    ]
    if kind == "metrics":
        return [value for value in own if inspect.isfunction(value)]
    base = _BASES[kind]
    return [value for value in own if inspect.isclass(value) and issubclass(value, base)]


def _public(module: ModuleType, kind: str) -> Any:
    found = _candidates(module, kind)
    if len(found) != 1:
        raise SpecError(
            f"{module.__name__} should define exactly one public component, not {len(found)}"
        )
    return found[0]


@cache
def _parameters(component: Any) -> dict[str, Parameter]:
    if inspect.isfunction(component):
        return {}
    hints = typing.get_type_hints(component.__init__)
    found = {}
    for parameter in inspect.signature(component).parameters.values():
        if hints[parameter.name] is contracts.Encoder:
            continue
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        found[parameter.name] = Parameter(
            parameter.name,
            _types(hints[parameter.name]),
            exact(default) if isinstance(default, float) else default,
            required,
        )
    return {
        name: Parameter(name, p.types, _canonical(p.default, p, name), p.required)
        for name, p in found.items()
    }


def _types(hint: Any) -> tuple[type, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(typing.get_args(hint))
    return (hint,)


def _canonical(value: Value, parameter: Parameter, name: str) -> Value:
    """The value in the one form that equal settings share: whole numbers as int, others as Fraction."""
    kinds = parameter.types
    if value is None and (type(None) in kinds or parameter.required):
        return None
    if isinstance(value, bool) and bool in kinds:
        return value
    if isinstance(value, str) and str in kinds:
        return value
    if isinstance(value, int | Fraction) and not isinstance(value, bool):
        if Fraction(value).denominator == 1 and {int, float} & set(kinds):
            return int(value)
        if float in kinds:
            return Fraction(value)
        if str in kinds:
            return show(value)
    wanted = " or ".join(_WORDS[kind] for kind in kinds)
    raise SpecError(f"{name}: {parameter.name}={show(value)} should be {wanted}")


_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    type(None): "none",
}


def _native(value: Value, parameter: Parameter) -> bool | int | float | str | None:
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool) and int not in parameter.types:
        return float(value)
    return value
