"""The published tables that can be run again, one a file: the file's name is the table's."""

import importlib
from dataclasses import dataclass
from pathlib import Path

from robench.grid.spec import SpecError, nearest


@dataclass(frozen=True)
class Column:
    """An attack, or "clean", with its norm and eps, as one would type them."""

    attack: str
    norm: str = ""
    eps: str = ""

    def __str__(self) -> str:
        return " ".join(word for word in (self.attack, self.norm, self.eps) if word)


@dataclass(frozen=True)
class Settings:
    """What robench runs: a preset, and a method and a probe whose other settings are the preset's.

    ``probe`` "" is the preset's own.
    """

    preset: str
    method: str
    probe: str = ""


@dataclass(frozen=True)
class Row:
    """A method under a protocol, in the paper's words, from one data set to another.

    ``runs`` is what robench runs for it, or in a few words why it is not run.
    """

    method: str
    protocol: str
    source: str
    target: str
    runs: Settings | str


@dataclass(frozen=True)
class PaperTable:
    """One published table. The first column is clean accuracy.

    ``paper`` and ``tables`` say, in the words of the published values, which of them belong here;
    ``remarks`` what a reader must know about them.
    """

    title: str
    paper: str
    tables: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()


def names() -> list[str]:
    """The names of all tables, sorted."""
    folder = Path(next(iter(__path__)))
    return sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if p.stem[0] != "_")


def find(name: str) -> PaperTable:
    """The table of that name.

    Raises SpecError with the nearest names where there is none.
    """
    if name not in names():
        raise SpecError(f"no table '{name}'; {nearest(name, names())}")
    found = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").table
    assert isinstance(found, PaperTable)
    return found
