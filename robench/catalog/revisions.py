"""Identity of code: a digest of what a component's numbers are computed with.

It covers the component's file and everything that it imports from this package, or for a plug-in
from its own folder, as syntax: comments, docstrings and formatting do not count. Rooms that pass
numbers on, and compute none, are left out.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_WITHOUT_NUMBERS = frozenset({"catalog", "data", "files", "grid", "report", "store", "trust"})


@cache
def digest(file: Path) -> str:
    """The first 16 digits of the SHA-256 of a file's code and of what it imports."""
    code = sorted(_code(one)[0] for one in _closure(file))
    return hashlib.sha256("\n".join(code).encode()).hexdigest()[:16]


def _closure(file: Path) -> set[Path]:
    """The file and, over any number of steps, what it imports."""
    found, left = {file}, [file]
    while left:
        new = set(_imported(left.pop())) - found
        found |= new
        left += new
    return found


def _imported(file: Path) -> Iterator[Path]:
    for name in _code(file)[1]:
        parts = name.split(".")
        if parts[0] == PACKAGE.name:
            if len(parts) > 1 and parts[1] not in _WITHOUT_NUMBERS:
                yield from _module(PACKAGE, parts[1:])
        elif PACKAGE not in file.parents:
            yield from _module(file.parent, parts)


def _module(root: Path, parts: list[str]) -> Iterator[Path]:
    """The file of a module; of a name within one, the module's."""
    for count in (len(parts), len(parts) - 1):
        path = root.joinpath(*parts[:count])
        if count and path.with_suffix(".py").is_file():
            yield path.with_suffix(".py")
            return


@cache
def _code(file: Path) -> tuple[str, tuple[str, ...]]:
    """The normalised code, and the names that it imports."""
    tree = ast.parse(file.read_bytes())
    names: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names += [alias.name for alias in node.names]
            case ast.ImportFrom():
                inside = node.module or ""
                names += [f"{inside}.{alias.name}".lstrip(".") for alias in node.names]
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                node.body = [own for own in node.body if not _is_text(own)] or [ast.Pass()]
    return ast.dump(tree), tuple(names)


def _is_text(node: ast.stmt) -> bool:
    """Whether the statement is a docstring, or one of an attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
