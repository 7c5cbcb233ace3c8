"""A component with its arguments, as typed: ``pgd(eps=8/255, steps=50)``.

Numbers are exact. ``8/255`` stays the fraction 8/255 and ``0.0314`` the decimal 157/5000, so that
two people who mean the same setting get the same text, the same key and the same cached answer.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

Value = bool | int | Fraction | str | None

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}\Z")
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+/[0-9]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,2})?)", re.ASCII
)
_PATH = re.compile(r"[A-Za-z0-9_.~/][A-Za-z0-9_.~/+ -]*\Z")
_QUOTED = re.compile(r"'[^'\x00-\x1f]*'|\"[^\"\x00-\x1f]*\"")
_TOKEN = re.compile(f"{_QUOTED.pattern}|.", re.DOTALL)
_MOST_DIGITS = 100  # float() takes up to 308


class SpecError(ValueError):
    """Invalid specification or unknown component."""


@dataclass(frozen=True, order=True)
class Spec:
    """A component's name and its arguments, sorted by argument name."""

    name: str
    arguments: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", tuple(sorted(self.arguments, key=lambda a: a[0])))

    def __str__(self) -> str:
        if not self.arguments:
            return self.name
        inside = ", ".join(f"{name}={show(value)}" for name, value in self.arguments)
        return f"{self.name}({inside})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Specs are written to files as their text."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            lambda given: given if isinstance(given, Spec) else parse(given),
            serialization=core_schema.to_string_ser_schema(),
        )

    def get(self, argument: str) -> Value:
        """The argument's value, or None where it is not given."""
        return dict(self.arguments).get(argument)

    def has(self, argument: str) -> bool:
        """Whether the argument is given."""
        return argument in dict(self.arguments)

    def without(self, *arguments: str) -> "Spec":
        """The same spec, with these arguments left open."""
        return Spec(self.name, tuple(one for one in self.arguments if one[0] not in arguments))

    def with_defaults(self, defaults: dict[str, Value]) -> "Spec":
        """The same spec, with ``defaults`` for the arguments that it leaves open."""
        return Spec(self.name, tuple({**defaults, **dict(self.arguments)}.items()))


def show(value: Value) -> str:
    """Write one argument's value so that `parse` reads the same value back."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Fraction):
        return show_number(value)
    if isinstance(value, str):
        plain = _NAME.match(value) and _word(value) == value
        return value if plain else f'"{value}"' if "'" in value else f"'{value}'"
    return str(value)


def show_number(value: Fraction) -> str:
    """Write a number as an integer, as a short exact decimal, or else as a fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    decimal = repr(float(value))
    return decimal if Fraction(decimal) == value else f"{value.numerator}/{value.denominator}"


def exact(number: float) -> Fraction:
    """The number that was meant: 8/255 for ``8 / 255``, 157/5000 for ``0.0314``."""
    as_typed = Fraction(repr(number))
    simple = Fraction(number).limit_denominator(1000)
    return simple if float(simple) == number and as_typed != simple else as_typed


def parse_number(text: str) -> Fraction:
    """Read ``8/255``, ``0.5``, ``1e-3`` or ``12``, exactly.

    Raises SpecError if the text is not a number.
    """
    plain = _plain(text)
    # The form comes first: an exact 1e999999999 would take minutes and gigabytes to write out.
    if len(plain) > _MOST_DIGITS or not _NUMBER.fullmatch(plain):
        raise SpecError(f"'{text[:80]}' is not a number; write 8/255, 0.5 or 12")
    try:
        number = Fraction(plain)
    except ZeroDivisionError:
        raise SpecError(f"'{text}' divides by zero; write 8/255, 0.5 or 12") from None
    if len(show_number(number)) > _MOST_DIGITS:  # it could not be read back
        raise SpecError(f"'{text}' has too many digits; write 8/255, 0.5 or 12")
    return number


def _plain(text: str) -> str:
    return text.lower().replace(" ", "")


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint for an unknown word: the close known ones, or else all."""
    close = difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}? (all: {', '.join(known)})"
    return f"choose from {', '.join(known)}"


@lru_cache(maxsize=4096)  # a grid reads the same few specs thousands of times
def parse(text: str) -> Spec:
    """Read one spec, such as ``rocl`` or ``rocl(steps=10, eps=8/255)``.

    Raises SpecError where the text is not of that form.
    """
    text = text.strip()
    name, bracket, inside = text.partition("(")
    name = name.strip()
    form = f"'{text[:80]}' cannot be read; {_form(text, name)}"
    if not _NAME.match(name) or (bracket and not inside.endswith(")")):
        raise SpecError(form)
    if not bracket:
        return Spec(name)
    arguments: dict[str, Value] = {}
    for part in _split(inside[:-1], form):
        argument, equals, value = part.partition("=")
        argument = argument.strip()
        if not equals or not argument.isidentifier():
            raise SpecError(f"{name}: '{part.strip()}' is not of the form argument=value")
        if argument in arguments:
            raise SpecError(f"{name}: '{argument}' is given twice")
        arguments[argument] = _value(value.strip(), name, argument)
    return Spec(name, tuple(arguments.items()))


def parse_list(text: str) -> tuple[Spec, ...]:
    """Read specs between commas: ``"rocl(steps=10, eps=8/255),clae"``.

    Raises SpecError for an empty list or an item that cannot be read.
    """
    form = f"'{text[:80]}' cannot be read; {_form(text)}"
    specs = tuple(parse(part) for part in _split(text, form))
    if not specs:
        raise SpecError("the list is empty; write one name or more, with commas between")
    return specs


def _form(text: str, name: str = "") -> str:
    """The way to write what was meant by a text that cannot be read."""
    if text.count("(") > text.count(")"):
        return 'a bracket is not closed; a shell needs quotes around it: "name(argument=value)"'
    if len(name.split()) > 1:
        return f"put commas between names: {','.join(name.split())}"
    return "write a name, or name(argument=value, ...)"


def _split(text: str, form: str) -> list[str]:
    """Cut at the commas that stand outside brackets and quotes."""
    parts, depth = [""], 0
    for token in _TOKEN.findall(text):
        depth += (token == "(") - (token == ")")
        if depth < 0 or token in ("'", '"'):  # a quote that is not closed
            raise SpecError(form)
        if token == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    if depth:
        raise SpecError(form)
    return [part for part in parts if part.strip()]


def _value(text: str, name: str, argument: str) -> Value:
    if text[:1] in ("'", '"'):
        if not _QUOTED.fullmatch(text):
            raise SpecError(f"{name}: {argument}={text[:80]} cannot be read")
        return text[1:-1]
    if _NAME.match(text):
        return _word(text)
    if _PATH.match(text) and not _NUMBER.fullmatch(_plain(text)):
        return text
    try:
        number = parse_number(text)
    except SpecError:
        raise SpecError(
            f"{name}: {argument}={text[:80]} cannot be read; "
            "write a number (8/255), a word, true or false, or quote the text"
        ) from None
    return int(number) if number.denominator == 1 else number


def _word(text: str) -> Value:
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)
