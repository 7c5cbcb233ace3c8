"""A component's arguments: read from its signature, checked, and turned into what Python takes."""

import inspect
import types
import typing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

from robench.contracts import Argument, Encoder, Objective, Teacher
from robench.grid.spec import SpecError, Value, exact, show

_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    type(None): "none",
}


CLASSES, TEACHER = "classes", "teacher"
_TEACHER = "plain"  # where none is named


@dataclass(frozen=True)
class Parameter:
    """One argument: its name, the types it takes, and its default in canonical form."""

    name: str
    types: tuple[type, ...]
    default: Value
    required: bool


@cache
def parameters(component: Any) -> dict[str, Parameter]:
    """The arguments that a spec of the component takes, in the order of its signature.

    What the stage hands in, an `Encoder` and the classes, is not among them; a `Teacher` is named.
    Raises SpecError for an argument that cannot be written in a spec.
    """
    if inspect.isfunction(component):
        return {}
    hints = typing.get_type_hints(component.__init__)
    found = {}
    for argument in inspect.signature(component).parameters.values():
        hint = hints.get(argument.name)
        if hint is Encoder or (argument.name == CLASSES and handed_in(component, CLASSES)):
            continue
        if hint is Teacher:
            found[argument.name] = Parameter(argument.name, (str,), _TEACHER, False)
            continue
        kinds = _types(hint)
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD) or not kinds:
            raise SpecError(
                f"{component.__name__}: the argument '{argument}' cannot be written in a spec; "
                "give each argument a type: bool, int, float, str, or one of these with None"
            )
        default, required = argument.default, argument.default is argument.empty
        parameter = Parameter(argument.name, kinds, None, required)
        if not required:
            meant = exact(default) if isinstance(default, float) else default
            parameter = replace(parameter, default=canonical(meant, parameter, component.__name__))
        found[argument.name] = parameter
    return found


def handed_in(component: Any, name: str) -> bool:
    """Whether the stage hands an argument of that name to the component, an objective."""
    if not (inspect.isclass(component) and issubclass(component, Objective)):
        return False
    argument = inspect.signature(component).parameters.get(name)
    return argument is not None and argument.default is argument.empty


def defaults(component: Any) -> dict[str, Value]:
    """Each argument's default, in canonical form."""
    return {name: parameter.default for name, parameter in parameters(component).items()}


def canonical(value: Value, parameter: Parameter, name: str) -> Value:
    """The value in the one form that equal settings share: whole numbers as int, else Fraction.

    Raises SpecError, which begins with the component's ``name``, for a value of another type.
    """
    kinds = parameter.types
    if type(value) in kinds and not isinstance(value, float):
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


def native(value: Value, parameter: Parameter) -> Argument:
    """The canonical value as the component's constructor takes it."""
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool) and int not in parameter.types:
        return float(value)
    return value


def _types(hint: Any) -> tuple[type, ...]:
    """The types that the hint allows; none where it allows what a spec cannot say."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = tuple(typing.get_args(hint)) if union else (hint,)
    return kinds if all(kind in _WORDS for kind in kinds) else ()
