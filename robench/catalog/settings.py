"""Settings of a recipe as typed: ``lr=0.1`` for all methods, ``rocl.lr=0.1`` for one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from robench.grid.recipe import Recipe
from robench.grid.spec import Spec, SpecError, nearest, parse, parse_number

_KINDS = get_type_hints(Recipe)
_LEAST = {"epochs": 1, "batch": 2, "images": 1}


@dataclass(frozen=True)
class Setting:
    """A value for one field of a recipe: of all methods, or of those that agree with ``method``."""

    key: str
    value: Any
    method: Spec | None = None

    def __str__(self) -> str:
        return f"{self.method}.{self.key}" if self.method else self.key


def agrees(named: Spec, method: Spec) -> bool:
    """Whether the method has that name, and every argument that ``named`` gives."""
    return named.name == method.name and set(named.arguments) <= set(method.arguments)


def settings(name: str, value: Mapping[str, Any] | str | Sequence[Any]) -> tuple[Setting, ...]:
    """Read ``"lr=0.1"``, several such texts, or ``{"lr": 0.1, "rocl.epochs": 5}``.

    Raises SpecError for a field that a recipe does not have, or a value that it cannot take.
    """
    if isinstance(value, Mapping):
        return tuple(_setting(name, *item) for item in value.items())
    items = [value] if isinstance(value, str) else value
    return tuple(
        item if isinstance(item, Setting) else _setting(name, *item.rpartition("=")[::2])
        for item in items
    )


def _setting(name: str, typed: str, value: Any) -> Setting:
    method, _, key = typed.strip().rpartition(".")
    if not key:
        form = "write key=value or METHOD.key=value, such as lr=0.1"
        raise SpecError(f"{name}: '{str(value)[:80]}' cannot be read; {form}")
    if key not in _KINDS:
        raise SpecError(f"a recipe has no '{key}'; {nearest(key, list(_KINDS))}")
    return Setting(key, recipe_value(key, value), parse(method) if method else None)


def recipe_value(key: str, value: Any) -> Any:
    """A value for a field of a recipe, from what was typed.

    Raises SpecError where the field cannot take it.
    """
    kind = _KINDS[key]
    if kind == int | None and value in (None, "all", "None"):
        return None
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise SpecError(f"no {key} '{value}'; {nearest(str(value), get_args(kind))}")
        return value
    if kind is float:
        return _number(key, value)
    if key == "falls":
        return _falls(value)
    return whole(key, value, _LEAST.get(key, 0))


def whole(name: str, value: int | str, least: int = 1) -> int:
    """A whole number, at least ``least``, from a number or text."""
    if re.fullmatch(r"\s*[0-9]{1,18}\s*", str(value)) and int(value) >= least:
        return int(value)
    raise SpecError(f"{name}={value} should be a whole number, at least {least}")


def _number(name: str, value: Any) -> float:
    number = parse_number(str(value))
    if number < 0 or (name == "lr" and number == 0):
        raise SpecError(f"{name}={value} should be {'above 0' if name == 'lr' else '0 or more'}")
    return float(number)


def _falls(value: Any) -> tuple[tuple[int, float], ...]:
    """Read ``"120:0.1,160:0.05"``: from epoch 120 a tenth of the learning rate, and so on."""
    pairs = [part.split(":") for part in value.split(",")] if isinstance(value, str) else value
    if not all(len(pair) == 2 for pair in pairs):
        raise SpecError(f"falls={value} cannot be read; write EPOCH:SHARE, as 120:0.1,160:0.05")
    return tuple((whole("falls", at, 0), _number("falls", share)) for at, share in pairs)


def changed(recipe: Recipe | None, typed: Mapping[str, Any]) -> Recipe:
    """The recipe, or Recipe's own defaults, with the typed fields.

    At another length the warm-up leaves at least one epoch, and steps come at the same share of the
    training. Raises SpecError where no such recipe can be.
    """
    if typed.get("schedule", "steps") != "steps":
        typed = {"falls": (), **typed}
    try:
        if recipe is None:
            made = Recipe(**typed)
        else:
            made = replace(resized(recipe, typed.get("epochs") or recipe.epochs), **typed)
    except ValueError as error:
        raise SpecError(str(error)) from None
    if made.warmup >= made.epochs:
        raise SpecError(f"warmup={made.warmup} is not less than epochs={made.epochs}")
    if made.images is not None and made.images < made.batch:
        raise SpecError(
            f"images={made.images} is less than one batch of the pretraining; "
            f"give at least {made.batch}"
        )
    return made


def resized(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe at another number of epochs."""
    return replace(
        recipe,
        epochs=epochs,
        warmup=min(recipe.warmup, epochs - 1),
        falls=tuple((-(-at * epochs // recipe.epochs), share) for at, share in recipe.falls),
    )
