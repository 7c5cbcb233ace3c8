"""Readers of what was typed, or given in Python: each takes the option's name and the value.

A value that was read before is taken as it is. All raise SpecError for what cannot be read.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from robench.grid.recipe import Recipe
from robench.grid.spec import (
    Spec,
    SpecError,
    exact,
    nearest,
    parse,
    parse_list,
    parse_number,
    show_number,
)

R = TypeVar("R")

Names = str | Spec | Sequence[str | Spec]
"""As typed: ``"plain,rocl(steps=5)"``, or a list of such."""

_KINDS = get_type_hints(Recipe)
_LEAST = {"epochs": 1, "batch": 2, "images": 1}


def specs(name: str, value: Names) -> tuple[Spec, ...]:
    """Read specs from a list between commas, or from several such lists."""
    found = list[Spec]()
    for item in _several(value, str | Spec):
        found += [item] if isinstance(item, Spec) else parse_list(item)
    return tuple(found)


def spec(name: str, value: Spec | str) -> Spec:
    """Read one spec."""
    first, *others = specs(name, value)
    if others:
        raise SpecError(f"{name}: give one, not '{value}'")
    return first


def each(read: Callable[[str, Any], R]) -> Callable[[str, Any], tuple[R, ...]]:
    """Read text between commas, a number, or several of either."""

    def read_all(name: str, value: Any) -> tuple[R, ...]:
        items = value.split(",") if isinstance(value, str) else _several(value, int | float)
        found = tuple(read(name, item) for item in items if str(item).strip())
        if items and not found:
            raise SpecError(f"{name}: the list is empty; write items with commas between")
        return found

    return read_all


def lower(name: str, value: object) -> str:
    """Read one word, in any case."""
    return word(name, value).lower()


def word(name: str, value: object) -> str:
    """Read one word."""
    return str(value).strip()


def whole(name: str, value: int | str, least: int = 1) -> int:
    """Read a whole number, at least ``least``."""
    if re.fullmatch(r"\s*[0-9]{1,18}\s*", str(value)) and int(value) >= least:
        return int(value)
    raise SpecError(f"{name}={value} should be a whole number, at least {least}")


def processes(name: str, value: int | str) -> int:
    """Read a number of processes; "auto" is one for each core that this one may use."""
    if value != "auto":
        return whole(name, value)
    own = hasattr(os, "sched_getaffinity")  # Linux can give a process fewer cores than there are
    return len(os.sched_getaffinity(0)) if own else os.cpu_count() or 1


EXECUTORS = "local", "ray"
NEEDS = "cpus", "gpus", "memory"


def executor(name: str, value: str) -> str:
    """Read the name of what runs the work."""
    if (known := lower(name, value)) not in EXECUTORS:
        raise SpecError(f"no executor '{value}'; {nearest(known, EXECUTORS)}")
    return known


def needs(name: str, value: str | Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Read ``"cpus=4,gpus=1"``, amounts of what a process takes."""
    if not isinstance(value, str):
        return tuple(value)
    found = {}
    for part in filter(None, value.split(",")):
        key, _, amount = (word.strip() for word in part.partition("="))
        if key not in NEEDS:
            raise SpecError(f"{name}: no need '{key}'; {nearest(key, NEEDS)}")
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", amount):
            raise SpecError(f"{name}: {key}={amount} should be a number, such as {key}=1")
        found[key] = float(amount)
    return tuple(sorted(found.items()))


NOISES = "sym", "sym-ex", "asym"


def noise(name: str, value: str) -> Spec | None:
    """Read ``"sym:0.4"``, the way and the rate of wrong labels; None for a rate of 0."""
    if isinstance(value, Spec):
        return value
    way, _, rate = value.strip().partition(":")
    if way not in NOISES:
        raise SpecError(f"{name}: no noise '{way}'; {nearest(way, NOISES)}")
    number = parse_number(rate) if rate else Fraction(-1)
    if not 0 <= number <= 1:
        raise SpecError(f"{name}={value}: the rate should be in [0, 1], such as {way}:0.4")
    return parse(f"{way}(rate={show_number(number)})") if number else None


def radius(name: str, value: str | float) -> str:
    """Read ``"8/255"`` as typed, and Python's ``8 / 255`` as the fraction that it was."""
    return value.strip() if isinstance(value, str) else show_number(exact(value))


def path(name: str, value: Path | str) -> Path:
    """Read a path."""
    return Path(value)


def paths(name: str, value: Path | str | Sequence[Path | str]) -> tuple[Path, ...]:
    """Read paths."""
    return tuple(map(Path, _several(value, str | Path)))


def _several(value: Any, one: Any) -> Sequence[Any]:
    return [value] if isinstance(value, one) else tuple(value)


# --- settings of a recipe


@dataclass(frozen=True)
class Setting:
    """A value for one field of a recipe: of all methods, or of those that agree with ``method``."""

    key: str
    value: Any
    method: Spec | None = None

    def __str__(self) -> str:
        return f"{self.method}.{self.key}" if self.method else self.key


_OTHER_NAMES = {"simclr": "plain"}


def plain_name(name: str) -> str:
    """The name as it is compared: in any case, with - or _ or without, or as papers have it."""
    short = name.lower().replace("-", "").replace("_", "")
    return _OTHER_NAMES.get(short, short)


def agrees(named: Spec, method: Spec) -> bool:
    """Whether the method has that name, and every argument that ``named`` gives."""
    alike = plain_name(named.name) == plain_name(method.name)
    return alike and set(named.arguments) <= set(method.arguments)


def settings(name: str, value: Mapping[str, Any] | str | Sequence[Any]) -> tuple[Setting, ...]:
    """Read ``"lr=0.1"``, several such texts, or ``{"lr": 0.1, "rocl.epochs": 5}``."""
    if isinstance(value, Mapping):
        return tuple(_setting(name, *item) for item in value.items())
    return tuple(
        item if isinstance(item, Setting) else _setting(name, *item.rpartition("=")[::2])
        for item in _several(value, str)
    )


def _setting(name: str, typed: str, value: Any) -> Setting:
    method, _, key = typed.strip().rpartition(".")
    if not key:
        form = "write key=value or METHOD.key=value, such as lr=0.1"
        raise SpecError(f"{name}: '{str(value)[:80]}' cannot be read; {form}")
    if key not in _KINDS:
        raise SpecError(f"a recipe has no '{key}'; {nearest(key, list(_KINDS))}")
    return Setting(key, recipe_value(key, value), spec(name, method) if method else None)


def recipe_value(key: str, value: Any) -> Any:
    """Read a value for a field of a recipe."""
    kind = _KINDS[key]
    if kind == int | None and value in (None, "all", "None"):
        return None
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise SpecError(f"no {key} '{value}'; {nearest(str(value), get_args(kind))}")
    if get_origin(kind) is Literal:
        return value
    if kind is float:
        return _number(key, value)
    return _falls(value) if key == "falls" else whole(key, value, _LEAST.get(key, 0))


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
