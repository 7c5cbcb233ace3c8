"""Identity of code: what a component's numbers are computed with.

It covers the component's file and everything that it imports from this package, or for a plug-in
from places of its author's: its folder and package, and what is on Python's path without having
been installed. Code is compared as syntax: comments, docstrings and formatting do not count. Rooms
that pass numbers on, and compute none, are left out.

``revisions.json`` has the revision of each component of this package and the digest of each file
that they are computed with. While the files are those, code is known by its revision, and an
upgrade that changes no number keeps it. Edited code, and a plug-in's, is known by its digest.
"""

import ast
import hashlib
import json
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
MANIFEST = Path(__file__).with_name("revisions.json")
STAGES = {
    "engine/pretrain": ("engine/pretrain.py",),
    "engine/probe": ("engine/probe.py", "engine/restore.py", "engine/noise.py"),
    "engine/evaluate": ("engine/evaluate.py", "engine/restore.py", "engine/subset.py"),
}
_ALL_STAGES = "engine/bench.py", "grid/questions.py"  # alone: the bench imports every stage
_WITHOUT_NUMBERS = frozenset(
    ["api", "catalog", "cli", "data", "files", "grid", "reproduction", "report", "store", "trust"]
)
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class Code:
    """The identity of a component's or stage's code: its revision, or its digest.

    ``own`` are its files that the manifest does not have: edited ones, or a plug-in's.
    """

    name: str
    identity: str
    own: tuple[Path, ...] = ()


def code_of(name: str, file: Path) -> Code:
    """The code of a component."""
    return _identified(name, closure(file))


@cache
def stage(name: str) -> Code:
    """The code of a stage, such as "engine/evaluate"."""
    return _identified(name, files_of_stage(name))


def files_of_stage(name: str) -> set[Path]:
    """The files that a stage is computed with."""
    files = closure(*(PACKAGE / file for file in STAGES[name]))
    return files | {PACKAGE / file for file in _ALL_STAGES}


def closure(*files: Path) -> set[Path]:
    """The files and, over any number of steps, what they import."""
    found, left = set(files), [*files]
    while left:
        new = set(_imported(left.pop())) - found
        found |= new
        left += new
    return found


def digest(file: Path) -> str:
    """The first 16 digits of the SHA-256 of a file's code, as it was when first read."""
    return hashlib.sha256(_code(file)[0].encode()).hexdigest()[:16]


def renew(file: Path) -> None:
    """Read a plug-in again, and let Python import again what it imports of its author's."""
    for path in closure(file):
        if PACKAGE not in path.parents:
            _read.pop(path, None)
    imported = {str(path) for path in closure(file) if PACKAGE not in path.parents}
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in imported:
            del sys.modules[name]


def changed_since() -> list[Path]:
    """The package's files whose code has changed since it was read: Python runs the old one."""
    there = (path for path in sorted(_read) if _in_package(path) and path.is_file())
    return [path for path in there if _read[path] != _parsed(path)]


@cache
def manifest() -> dict[str, dict[str, Any]]:
    """The content of ``revisions.json``."""
    read: dict[str, dict[str, Any]] = json.loads(MANIFEST.read_bytes())
    return read


def _identified(name: str, files: Collection[Path]) -> Code:
    known = manifest()["files"]
    digests = {path: digest(path) for path in files}
    own = [path for path in sorted(files) if known.get(_in_package(path)) != digests[path]]
    if name in manifest()["revisions"] and not own:
        return Code(name, f"revision {manifest()['revisions'][name]}")
    both = "\n".join(sorted(digests.values()))
    return Code(name, hashlib.sha256(both.encode()).hexdigest()[:16], tuple(own))


def _in_package(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix() if PACKAGE in path.parents else ""


# --- imports


def _imported(file: Path) -> Iterator[Path]:
    package = PACKAGE in file.parents
    for level, name in _code(file)[1]:
        parts = name.split(".")
        if level:
            yield from _files([file.parents[level - 1]], parts)
        elif parts[0] == PACKAGE.name:
            if len(parts) == 1 or parts[1] not in _WITHOUT_NUMBERS:
                yield from _files([PACKAGE.parent], parts)
        elif not package:
            yield from _files(_places(file), parts)


def _places(file: Path) -> Iterator[Path]:
    """Folders with code of a plug-in's author: its own, its package's, and those on the path."""
    yield file.parent
    top = file.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    yield top
    stdlib = Path(sysconfig.get_path("stdlib"))
    for path in map(Path, sys.path):
        if stdlib not in (path, *path.parents) and path.name not in _INSTALLED and path.is_dir():
            yield path.absolute()


def _files(places: Iterable[Path], parts: list[str]) -> Iterator[Path]:
    """The files of a module and of the packages around it, in the first place that has it."""
    for place in places:
        found = False
        for count in range(1, len(parts) + 1):
            path = place.joinpath(*parts[:count])
            for file in (path / "__init__.py", path.with_suffix(".py")):
                if file.is_file():
                    found = True
                    yield file
        if found:
            return


# --- syntax


_Parsed = tuple[str, tuple[tuple[int, str], ...]]
_read: dict[Path, _Parsed] = {}


def _code(file: Path) -> _Parsed:
    """The code of a file as it was when first read, like Python's."""
    if file not in _read:
        _read[file] = _parsed(file)
    return _read[file]


def _parsed(file: Path) -> _Parsed:
    """The normalised code, and the names that it imports with the number of dots in front."""
    text = file.read_bytes()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return text.hex(), ()
    names: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names += [(0, alias.name) for alias in node.names]
            case ast.ImportFrom():
                inside = f"{node.module}." if node.module else ""
                names += [(node.level, inside + alias.name) for alias in node.names]
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                node.body = [own for own in node.body if not _is_text(own)] or [ast.Pass()]
    return json.dumps(_plain(tree)), tuple(names)


def _plain(part: Any) -> Any:
    """The syntax in JSON's types; unlike `ast.dump`, the same in every version of Python."""
    if isinstance(part, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(part) if name != "kind")
        given = [[name, _plain(value)] for name, value in fields if value not in (None, [])]
        return [type(part).__name__, *given]
    return [_plain(one) for one in part] if isinstance(part, list) else repr(part)


def _is_text(node: ast.stmt) -> bool:
    """Whether the statement is a docstring, or one of an attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
