"""A pickle read as data: containers, numbers, texts and arrays of whole numbers.

Python's unpickler is a machine that calls what a pickle names, so here a pickle is never given to
it. `pickletools` cuts the bytes into instructions, and the few that CIFAR's batches are made of are
carried out on plain values. A name in a pickle stays a text: nothing is imported or called by it.
"""

import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_MOST_INSTRUCTIONS = 10_000_000
"""The largest published batch, CIFAR-100's train, has three entries for each of 50,000 rows."""

_ARRAY = ("ndarray", "numpy.ndarray")
_REBUILD = ("rebuild", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_DTYPE = ("dtype", "numpy.dtype")
_NUMBERS = ("u1", "i1", "i2", "i4", "i8")
_ORDERS = ("|", "<", "=")


class PickleError(ValueError):
    """The pickle is damaged, or holds more than plain data; the message says which."""


@dataclass(frozen=True)
class _Name:
    """A module's function or class: only its name."""

    kind: str


@dataclass
class _Array:
    """An array before its state is known, and afterwards the array itself."""

    content: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class _Dtype:
    code: str


_MARK = object()


def read(content: bytes) -> Any:
    """The value that the pickle stands for; byte strings of Python 2 become text (latin-1).

    Raises PickleError where it holds anything but plain data, or is damaged.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count > _MOST_INSTRUCTIONS:
                raise PickleError("it has far more instructions than a batch needs")
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode.name, argument)
    except PickleError:
        raise
    except Exception as error:  # damage can ask for anything: an empty stack, a list as a key
        raise PickleError(f"not a readable pickle ({type(error).__name__})") from None
    raise PickleError("not a readable pickle (it does not end)")


class _Machine:
    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise PickleError(f"the pickle has the instruction {name}, which no batch needs")

    def result(self) -> Any:
        (value,) = self._stack
        return _plain(value)

    def _from_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise IndexError
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values

    def mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def keep(self, argument: Any) -> None:
        self._memo[len(self._memo) if argument is None else int(argument)] = self._stack[-1]

    def recall(self, argument: Any) -> None:
        self._stack.append(self._memo[int(argument)])

    def tuple_of(self, count: int) -> None:
        values = self._stack[len(self._stack) - count :]
        if len(values) != count:
            raise IndexError
        del self._stack[len(self._stack) - count :]
        self._stack.append(tuple(values))

    def tuple_(self, _: Any) -> None:
        self._stack.append(tuple(self._from_mark()))

    def list_(self, _: Any) -> None:
        self._stack.append(self._from_mark())

    def append(self, _: Any) -> None:
        value = self._stack.pop()
        self._list().append(_plain(value))

    def appends(self, _: Any) -> None:
        values = self._from_mark()
        self._list().extend(map(_plain, values))

    def set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._dict()[key] = _plain(value)

    def set_items(self, _: Any) -> None:
        values = self._from_mark()
        entries = self._dict()
        for key, value in zip(values[::2], values[1::2], strict=True):
            entries[key] = _plain(value)

    def dict_(self, _: Any) -> None:
        values = self._from_mark()
        pairs = zip(values[::2], values[1::2], strict=True)
        self._stack.append({key: _plain(value) for key, value in pairs})

    def name(self, argument: Any) -> None:
        self._stack.append(_named(str(argument).replace(" ", ".", 1)))

    def stack_name(self, _: Any) -> None:
        inner, module = self._stack.pop(), self._stack.pop()
        self._stack.append(_named(f"{module}.{inner}"))

    def reduce(self, _: Any) -> None:
        arguments, named = self._stack.pop(), self._stack.pop()
        match named, arguments:
            case _Name("rebuild"), (_Name("ndarray"), *_):
                self._stack.append(_Array())
            case _Name("dtype"), (str() as code, *_) if code in _NUMBERS:
                self._stack.append(_Dtype(code))
            case _Name("dtype"), (code, *_):
                raise PickleError(
                    f"the pickle holds an array of type {str(code)[:20]!r}, expected whole numbers"
                )
            case _:
                raise PickleError("the pickle calls something, which no batch needs")

    def build(self, _: Any) -> None:
        state, made = self._stack.pop(), self._stack[-1]
        match made, state:
            case _Dtype(), (int(), order, None, None, None, *_) if order in _ORDERS:
                pass
            case _Array(content=None), (int(), tuple() as shape, _Dtype() as dtype, flag, raw):
                made.content = _array(shape, dtype, flag, raw)
            case _:
                raise PickleError("the pickle sets what no batch sets")

    def _list(self) -> list[Any]:
        if type(self._stack[-1]) is not list:
            raise TypeError
        found: list[Any] = self._stack[-1]
        return found

    def _dict(self) -> dict[Any, Any]:
        if type(self._stack[-1]) is not dict:
            raise TypeError
        found: dict[Any, Any] = self._stack[-1]
        return found


def _named(full: str) -> _Name:
    for kind, *names in (_ARRAY, _REBUILD, _DTYPE):
        if full in names:
            return _Name(kind)
    raise PickleError(f"the pickle asks for {full[:100]}, which no batch of CIFAR needs")


def _array(shape: tuple[Any, ...], dtype: _Dtype, by_columns: Any, raw: Any) -> npt.NDArray[Any]:
    content = raw.encode("latin1") if isinstance(raw, str) else raw
    if type(content) is not bytes or not all(type(side) is int and side >= 0 for side in shape):
        raise TypeError
    kind = np.dtype(f"<{dtype.code}")
    if len(shape) > 4 or math.prod(shape) * kind.itemsize != len(content):
        raise PickleError(f"an array's shape {list(shape)[:4]} is not that of its bytes")
    flat = np.frombuffer(content, kind)
    return flat.reshape(shape, order="F" if by_columns else "C")


def _plain(value: Any) -> Any:
    """The value as it goes into a container or out: arrays as they are, names nowhere."""
    if isinstance(value, _Array) and value.content is not None:
        return value.content
    if value is _MARK or isinstance(value, _Name | _Dtype | _Array):
        raise PickleError("the pickle holds more than containers, numbers, texts and arrays")
    return value


_WORDS = """
    INT LONG LONG1 LONG4 BININT BININT1 BININT2 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8
"""
_LITERALS = frozenset(_WORDS.split())
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_ACTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "PUT": _Machine.keep,
    "BINPUT": _Machine.keep,
    "LONG_BINPUT": _Machine.keep,
    "MEMOIZE": _Machine.keep,
    "GET": _Machine.recall,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "TUPLE": _Machine.tuple_,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": _Machine.list_,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "DICT": _Machine.dict_,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
