"""What the table of a paper says, before it is written in any format.

Text is plain Unicode here; whoever writes it escapes it.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import mean
from typing import NamedTuple

from robench.grid.records import Labels, Result
from robench.report.order import CLEAN, attack_order, natural, size
from robench.report.ties import Standing, accuracy, judge
from robench.report.words import caption, flag_letters, headings, notes, on_all
from robench.trust.intervals import mean_sd


class Column(NamedTuple):
    """A question asked of every row: an attack and how many images it was tried on."""

    attack: str
    norm: str
    eps: str
    n: int


@dataclass(frozen=True)
class Entry:
    """One number of the table, in percent.

    ``sd`` is None for a single seed; ``flags`` are letters of footnotes.
    """

    mean: float
    sd: float | None
    standing: Standing
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    ``names`` has a name for each of `Table.stub`, ``entries`` an entry or None for each column.
    """

    names: tuple[str, ...]
    entries: tuple[Entry | None, ...]


@dataclass(frozen=True)
class Table:
    """Rows in groups that belong together; ``notes`` are pairs of a mark and its meaning.

    ``flags`` are pairs of a letter and the flag that it stands for; ``common`` the letters that
    every entry has, which need to be said only once.
    """

    caption: str
    stub: tuple[str, ...]
    columns: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    notes: tuple[tuple[str, str], ...]
    flags: tuple[tuple[str, str], ...] = ()
    common: tuple[str, ...] = ()


_Seeds = dict[int, Result]


def pivot(results: Iterable[Result], *, scale: str) -> Table:
    """Methods down, clean and attacked accuracy across, mean and standard deviation over seeds.

    The best unflagged value for each source, target and column is marked, and so is every value
    that an exact McNemar test on the same images cannot tell from it. Accuracies on different
    numbers of images are different columns.

    Raises ValueError where there are no results, or two for the same place in the table.
    """
    places = _places(results)
    cells = [result.cell for seeds in places.values() for result in seeds.values()]
    lines = sorted({line for line, _ in places}, key=_line_order)
    columns = _columns(places)
    letters = flag_letters(cells)
    stub = _stub(lines)

    groups = []
    for source, target in dict.fromkeys((line.source, line.target) for line in lines):
        group = [line for line in lines if (line.source, line.target) == (source, target)]
        entries: dict[tuple[Labels, Column], Entry] = {}
        for column in columns:
            shown = {line: places[line, column] for line in group if (line, column) in places}
            for line, standing in judge(shown).items():
                entries[line, column] = _entry(shown[line], standing, letters)
        groups.append(
            tuple(
                Row(
                    tuple(_name(line, heading) for heading in stub),
                    tuple(entries.get((line, column)) for column in columns),
                )
                for line in group
            )
        )
    marks = [e for rows in groups for row in rows for e in row.entries if e is not None]
    return Table(
        caption=caption(cells, scale),
        stub=stub,
        columns=headings(columns),
        groups=tuple(groups),
        notes=notes(any(entry.standing is Standing.TIED for entry in marks), cells, letters),
        flags=tuple((letter, flag) for flag, letter in letters.items()),
        common=tuple(letters[flag] for flag in on_all(cells)),
    )


def _places(results: Iterable[Result]) -> dict[tuple[Labels, Column], _Seeds]:
    places: dict[tuple[Labels, Column], _Seeds] = defaultdict(dict)
    for result in results:
        cell = result.cell
        line = dataclasses.replace(cell.labels, attack="")
        column = Column(cell.labels.attack, cell.norm, cell.eps, cell.n)
        twin = places[line, column].setdefault(cell.seed, result)
        if twin is not result and twin.cell.key != cell.key:
            first, second = sorted((twin.cell.key, cell.key))
            raise ValueError(
                f"{first} and {second} belong in the same place of the table; "
                "report runs with different settings from different folders"
            )
    if not places:
        raise ValueError("there are no results to report; `robench run` makes some")
    return dict(places)


def _line_order(line: Labels) -> tuple[object, ...]:
    names = (line.source, line.target, line.method, line.encoder, line.probe)
    return tuple(natural(name) for name in names)


def _columns(places: Mapping[tuple[Labels, Column], _Seeds]) -> list[Column]:
    """Clean first, then attacks by the accuracy they leave at their largest eps, most first."""
    accuracies: dict[Column, list[Fraction]] = defaultdict(list)
    for (_, column), seeds in places.items():
        accuracies[column].append(accuracy(seeds.values()))
    left: dict[tuple[str, str], Fraction] = {}
    least: dict[tuple[str, str], Fraction] = {}
    for column in sorted(accuracies, key=lambda c: (size(c.eps), c.n)):
        left[column.attack, column.norm] = mean(accuracies[column])
        least.setdefault((column.attack, column.norm), size(column.eps))

    def order(column: Column) -> tuple[object, ...]:
        strength = -left[column.attack, column.norm]
        name = attack_order(column.attack, column.norm, column.eps)
        return (
            column.attack != CLEAN,
            strength,
            least[column.attack, column.norm],
            *name,
            column.n,
        )

    return sorted(accuracies, key=order)


def _entry(seeds: _Seeds, standing: Standing, letters: Mapping[str, str]) -> Entry:
    ordered = [seeds[seed].cell for seed in sorted(seeds)]
    centre, sd = mean_sd([100 * cell.correct / cell.n for cell in ordered])
    marks = {letters[flag] for cell in ordered for flag in cell.flags}
    return Entry(centre, sd, standing, tuple(sorted(marks, key=lambda m: (len(m), m))))


def _stub(lines: Sequence[Labels]) -> tuple[str, ...]:
    """The headings of the names' columns: the method, and what else has more than one value."""
    several = {
        heading: len({_name(line, heading) for line in lines}) > 1
        for heading in ("source → target", "method", "encoder", "probe")
    }
    return tuple(heading for heading in several if several[heading] or heading == "method")


def _name(line: Labels, heading: str) -> str:
    names = {
        "source → target": f"{line.source} → {line.target}",
        "method": line.method,
        "encoder": line.encoder,
        "probe": line.probe,
    }
    return names[heading]
