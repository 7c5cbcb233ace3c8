"""From what was typed to components, before any compute.

Names are found, arguments checked, defaults filled. A component's name is its file's name
(``linear-sgd`` is ``linear_sgd.py``); the file's one public class or function that fits its kind is
the component. Nothing is registered anywhere.
"""

import importlib
import inspect
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from robench.catalog import plugins
from robench.catalog.arguments import (
    CLASSES,
    TEACHER,
    Parameter,
    canonical,
    defaults,
    handed_in,
    native,
    parameters,
)
from robench.catalog.revisions import PACKAGE, Code, code_of
from robench.catalog.typed import Names, plain_name, spec, specs
from robench.contracts import Attack, Encoder, Objective, Teacher
from robench.grid.questions import Evaluation
from robench.grid.recipe import Recipe
from robench.grid.records import Labels
from robench.grid.spec import Spec, SpecError, nearest, show
from robench.presets import Preset, paper, paper_names
from robench.tensors.modes import preserved_random_state


class Catalog:
    """The components of this package, of installed plug-ins and of the plug-in ``files`` given.

    Loading a plug-in runs its code; nothing but these files and installed packages is ever loaded.
    Raises SpecError for a plug-in that cannot be used.
    """

    def __init__(self, files: Sequence[Path] = ()) -> None:
        self._plugins: dict[tuple[str, str], ModuleType] = {}
        self._codes: dict[str, Code] = {}
        self._labels: dict[Spec, bool] = {}
        for name, module in (*plugins.installed(), *map(plugins.load, files)):
            kind = plugins.kind_of(module, name)
            if name in self.names(kind):
                # Its stored answers would pass for the other's.
                raise SpecError(
                    f"plug-in {name}: there is a {kind[:-1]} of that name already; rename the file"
                )
            self._plugins[kind, name] = module

    def names(self, kind: str) -> list[str]:
        """Every name of a kind, sorted."""
        names = {*_built_in(kind), *(name for k, name in self._plugins if k == kind)}
        return sorted(names | set(paper_names() if kind == "presets" else ()))

    def named(self, kind: str, typed: Spec | str) -> Spec:
        """The spec under the component's own name: ``CIFAR-10`` is cifar10, ``SimCLR`` plain."""
        given, names = spec(kind, typed), self.names(kind)
        alike = [one for one in names if plain_name(one) == plain_name(given.name)]
        return given if given.name in names or not alike else Spec(alike[0], given.arguments)

    def component(self, kind: str, name: str) -> Any:
        """The class or function of that name.

        Raises SpecError with the nearest names where there is none.
        """
        found = plugins.components(self._module(kind, name), kind)
        if len(found) != 1:
            raise SpecError(f"{name}.py should define one public {kind[:-1]}, not {len(found)}")
        return found[0]

    def preset(self, name: str) -> Preset:
        """The preset of that name.

        Raises SpecError with the nearest names where there is none.
        """
        if name in paper_names():
            return paper(name)
        found = self._module("presets", name).preset
        assert isinstance(found, Preset)
        return found

    def parameters(self, kind: str, name: str) -> dict[str, Parameter]:
        """The arguments that a spec of this component takes, in the order of its signature."""
        return parameters(self.component(kind, name))

    def summary(self, kind: str, name: str) -> str:
        """The first paragraph of what the component says of itself, without code's quotes."""
        if kind == "presets":
            return self.preset(name).summary
        text = self.component(kind, name).__doc__ or ""
        return " ".join(text.strip().partition("\n\n")[0].replace("`", "").split())

    def source(self, kind: str, name: str) -> str:
        """The paper or the code that a component is from, as its module names it; "" for none."""
        text = " ".join((self._module(kind, name).__doc__ or "").partition("\n\n")[0].split())
        found = re.search(r"\(([^()]*(?:\d{4}|arXiv)[^()]*)\)", text)
        return found[1] if found else ""

    def signature(self, kind: str, name: str) -> str:
        """The component with all its arguments, as one would type it; "" where it takes none."""
        if kind == "presets":
            return ""
        inside = [
            f"{argument}=..." if p.required else f"{argument}={show(p.default)}"
            for argument, p in self.parameters(kind, name).items()
        ]
        return f"{name}({', '.join(inside)})" if inside else ""

    def resolve(self, kind: str, typed: Spec | str, preset: Names = ()) -> Spec:
        """The spec with every argument written out: as typed, else by ``preset``, else by default.

        Raises SpecError for an unknown name or argument, or a value of the wrong type or out of
        range.
        """
        full = self.named(kind, typed)
        for own in [one for one in specs(kind, preset) if one.name == full.name][:1]:
            full = full.with_defaults(dict(own.arguments))
        component = self._chosen(kind, full)
        takes = parameters(component)
        for argument, _ in full.arguments:
            if argument not in takes:
                hint = nearest(argument, list(takes)) if takes else "it takes none"
                raise SpecError(f"{full.name} has no argument '{argument}'; {hint}")
        for name, parameter in takes.items():
            if parameter.required and not full.has(name):
                form = self.signature(kind, full.name)
                raise SpecError(f"{full.name} needs {name}: write {form}")
        full = full.with_defaults(defaults(component))
        values = ((n, canonical(value, takes[n], full.name)) for n, value in full.arguments)
        resolved = Spec(full.name, tuple(values))
        self._try(kind, resolved)
        return resolved

    def build(self, kind: str, typed: Spec | str) -> Any:
        """Make the component that a resolved spec describes."""
        full = spec(kind, typed)
        component = self._chosen(kind, full)
        takes = parameters(component)
        return component(**{n: native(value, takes[n]) for n, value in full.arguments})

    def build_objective(
        self,
        typed: Spec | str,
        encoder: Encoder,
        classes: int | None = None,
        teacher: Teacher | None = None,
    ) -> Objective:
        """Make the objective that a resolved spec describes, around an encoder.

        ``classes`` and ``teacher`` are for those that take them.
        """
        full = spec("methods", typed)
        component = self._chosen("methods", full)
        known = {CLASSES: classes, TEACHER: teacher}
        known = {n: one for n, one in known.items() if one and handed_in(component, n)}
        takes = parameters(component)
        own = {n: native(value, takes[n]) for n, value in full.arguments}
        objective = component(encoder, **{**own, **known})
        assert isinstance(objective, Objective)
        return objective

    def attack(self, spec: Spec) -> Attack | None:
        """The attack that a resolved spec describes; None for a plug-in's that is not at hand."""
        try:
            attack = self.build("attacks", spec)
        except (SpecError, TypeError, ValueError, KeyError):
            return None
        assert isinstance(attack, Attack)
        return attack

    def label(self, kind: str, spec: Spec) -> str:
        """The name as a table prints it: with the arguments that differ from the defaults."""
        component = self._chosen(kind, spec)
        named = getattr(component, "named", ())
        usual = {name: at for name, at in defaults(component).items() if name not in named}
        shown = tuple(
            (name, value)
            for name, value in spec.arguments
            if name not in usual or value != usual[name]
        )
        return str(Spec(spec.name, shown))

    def labels(self, evaluation: Evaluation) -> Labels:
        """The names that a table prints for an evaluation."""

        def label(kind: str, spec: Spec) -> str:
            try:
                return self.label(kind, spec)
            except SpecError:  # such as of a plug-in that is not at hand
                return str(spec)

        return Labels.of(evaluation, label)

    def code(self, kind: str, spec: Spec) -> Code:
        """The identity of a component's code."""
        name = f"{_package(kind)}/{spec.name}"
        if name not in self._codes:
            file = Path(inspect.getfile(self.component(kind, spec.name)))
            self._codes[name] = code_of(name, file)
        return self._codes[name]

    def has_head(self, spec: Spec) -> bool:
        """Whether a method trains a classifier along, of the classes in its data."""
        return handed_in(self._chosen("methods", spec), CLASSES)

    def has_teacher(self, spec: Spec) -> bool:
        """Whether a method learns from another encoder."""
        return handed_in(self._chosen("methods", spec), TEACHER)

    def uses_labels(self, spec: Spec) -> bool:
        """Whether a resolved method is trained with labels."""
        if spec not in self._labels:
            self._labels[spec] = bool(self._try("methods", spec).uses_labels)
        return self._labels[spec]

    def owner(self, file: str) -> tuple[str, str] | None:
        """The kind and name of the component in a file; None where there is none."""
        for known, module in self._plugins.items():
            if module.__file__ == file:
                return known
        path = Path(file)
        for kind in (*plugins.BASES, "metrics"):
            if path.parent == PACKAGE / _package(kind) and path.stem[0] != "_":
                return kind, path.stem.replace("_", "-")
        return None

    def schedule(self, spec: Spec) -> Recipe | None:
        """The schedule of its own that a resolved method has; None where it has none."""
        made = self._try("methods", spec)
        assert isinstance(made, Objective)
        return made.recipe

    def _chosen(self, kind: str, spec: Spec) -> Any:
        """The component; of one with a method ``chosen``, the class that its arguments choose."""
        component = self.component(kind, spec.name)
        try:
            given = dict(spec.arguments)
            return component.chosen(given) if hasattr(component, "chosen") else component
        except ValueError as error:
            raise SpecError(f"{spec.name}: {error}") from None

    def _try(self, kind: str, spec: Spec) -> Any:
        """Build once, without memory where that works, so that bad values are refused early."""

        def make() -> Any:
            if kind != "methods":
                return self.build(kind, spec)
            teacher = Teacher(_Stub(), nn.Linear(_Stub.width, 2))
            return self.build_objective(spec, _Stub(), 2, teacher)

        try:
            with preserved_random_state():
                try:
                    with torch.device("meta"):
                        return make()
                except (RuntimeError, NotImplementedError):
                    return make()  # a constructor may compute, which may need numbers
        except ValueError as error:
            raise SpecError(f"{spec.name}: {error}") from None
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise SpecError(f"{spec} cannot be made: {reason}") from error

    def _module(self, kind: str, name: str) -> ModuleType:
        if (kind, name) in self._plugins:
            return self._plugins[kind, name]
        if name not in _built_in(kind):
            own = Path(f"{name.replace('-', '_')}.py")
            hint = f"add --plugin {own}" if own.is_file() else nearest(name, self.names(kind))
            raise SpecError(f"no {kind[:-1]} '{name}'; {hint}")
        path = name.replace("-", "_").replace("/", ".")
        return importlib.import_module(f"robench.{_package(kind)}.{path}")


def _package(kind: str) -> str:
    return "objectives" if kind == "methods" else kind


@cache
def _built_in(kind: str) -> frozenset[str]:
    """The names of this package's components; those in a folder have its name in front."""
    package = importlib.import_module(f"robench.{_package(kind)}")
    folder = Path(next(iter(package.__path__)))
    paths = [p.relative_to(folder) for p in folder.rglob("*.py") if p.stem[0] != "_"]
    return frozenset(path.with_suffix("").as_posix().replace("_", "-") for path in paths)


class _Stub(Encoder):
    """Stands for any encoder while an objective's arguments are tried."""

    width = 8
