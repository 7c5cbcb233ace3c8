"""Components from outside the package: a file that was named, or an installed entry point."""

import hashlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from robench.catalog.revisions import renew
from robench.contracts import Attack, Dataset, Encoder, Objective, Outcome, Probe
from robench.grid.spec import SpecError

BASES: Mapping[str, type] = {
    "methods": Objective,
    "encoders": Encoder,
    "datasets": Dataset,
    "probes": Probe,
    "attacks": Attack,
}
"""The kinds whose components are classes, and the class that they derive from."""

_ENTRY_POINTS = "robench.plugins"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")


def installed() -> Iterator[tuple[str, ModuleType]]:
    """The modules that installed packages offer, with the names they give them.

    What merely lies in the current folder is not installed, even where Python looks for modules
    there. Raises SpecError for one that cannot be imported.
    """
    here = Path.cwd().resolve()
    places = [place for place in sys.path if Path(place or ".").resolve() != here]
    packages = {own.name: own for own in reversed([*importlib.metadata.distributions(path=places)])}
    points = (p for own in packages.values() for p in own.entry_points.select(group=_ENTRY_POINTS))
    for point in sorted(points, key=lambda point: point.name):
        try:
            yield point.name, importlib.import_module(point.value)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise SpecError(
                f"the installed plug-in {point.name} ({point.value}) fails: {reason}"
            ) from error


def load(path: Path) -> tuple[str, ModuleType]:
    """Run a plug-in's file; its component's name and its module.

    Raises SpecError where the file is missing, is not Python, or fails.
    """
    if not path.is_file():
        raise SpecError(f"plug-in '{path}' is not a file; give the path of a Python file")
    if not _NAME.match(path.stem) or path.suffix != ".py":
        raise SpecError(
            f"plug-in '{path}': the file's name is the component's, so it should be letters, "
            "digits, - and _, and end in .py"
        )
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"robench_plugin_{path.stem}_{digest}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    renew(path.absolute())
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise SpecError(f"plug-in '{path}' fails: {type(error).__name__}: {error}") from error
    return path.stem.replace("_", "-"), module


def kind_of(module: ModuleType, name: str) -> str:
    """The kind of component that the module holds.

    Raises SpecError where it does not hold exactly one.
    """
    found = {kind: components(module, kind) for kind in (*BASES, "metrics")}
    named = [f"{one.__name__} ({kind[:-1]})" for kind, ones in found.items() for one in ones]
    if len(named) != 1:
        bases = ", ".join(base.__name__ for base in BASES.values())
        holds = f"holds {', '.join(named)}" if named else "holds none"
        raise SpecError(
            f"plug-in {name} {holds}; it should define one public component: a subclass of one of "
            f"{bases} (robench.contracts), or a metric, a function of an Outcome"
        )
    return next(kind for kind, ones in found.items() if ones)


def components(module: ModuleType, kind: str) -> list[Any]:
    """The public definitions of the module itself that fit the kind."""
    own = [
        value
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", None) == module.__name__
    ]
    if kind == "metrics":
        return [value for value in own if inspect.isfunction(value) and _measures(value)]
    return [one for one in own if inspect.isclass(one) and issubclass(one, BASES[kind])]


def _measures(function: Any) -> bool:
    arguments = inspect.signature(function).parameters.values()
    return [argument.annotation in (Outcome, "Outcome") for argument in arguments] == [True]
