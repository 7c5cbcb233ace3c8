"""A published table as places: what each published value is compared with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from robench.catalog.catalog import Catalog
from robench.catalog.plan import Request, grid
from robench.grid.questions import Evaluation
from robench.grid.spec import parse
from robench.report.published import Published
from robench.reproduction.scales import Scale
from robench.reproduction.tables import Column, PaperTable, Row, Settings
from robench.reproduction.wording import attack, column


@dataclass(frozen=True)
class Place:
    """A cell of a published table: its value, and an evaluation for each seed that measures it.

    ``published`` is None where no value is known, ``evaluations`` empty where nothing is run.
    """

    row: Row
    column: Column
    published: Published | None
    evaluations: tuple[Evaluation, ...]


def places(
    table: PaperTable,
    scale: Scale,
    seeds: Sequence[int],
    catalog: Catalog,
    published: Iterable[Published],
) -> tuple[Place, ...]:
    """Every cell of the table, row by row. Without ``seeds`` the presets' are used.

    Raises SpecError for what does not exist or cannot be, before any compute, and ValueError for
    two published values of one cell.
    """
    values = belonging(table, published)
    return tuple(
        Place(row, column, values.get((row, column)), evaluations)
        for row in table.rows
        for column, evaluations in _evaluations(table, row, scale, seeds, catalog).items()
    )


def belonging(
    table: PaperTable, published: Iterable[Published]
) -> dict[tuple[Row, Column], Published]:
    """The table's published values by their cell.

    Raises ValueError for one that has no cell, or shares its cell with another.
    """
    rows = {(row.method, row.protocol, row.source, row.target): row for row in table.rows}
    found: dict[tuple[Row, Column], Published] = {}
    for value in published:
        if value.paper != table.paper or value.table not in table.tables:
            continue
        row = rows.get((value.method, value.protocol, value.source, value.target))
        if row is None or column(value) not in table.columns:
            raise ValueError(f"{value!r} has no cell in '{table.title}'")
        if found.setdefault((row, column(value)), value) is not value:
            raise ValueError(f"{value!r} has the cell of another value in '{table.title}'")
    return found


def _evaluations(
    table: PaperTable, row: Row, scale: Scale, seeds: Sequence[int], catalog: Catalog
) -> Mapping[Column, tuple[Evaluation, ...]]:
    if not isinstance(row.runs, Settings):
        return dict.fromkeys(table.columns, ())
    preset = scale.cut(catalog.preset(row.runs.preset))
    request = Request(
        methods=(parse(row.runs.method),),
        attacks=tuple(parse(attack(column)) for column in table.columns),
        sources=(parse(row.source),),
        targets=(parse(row.target),),
        probes=(parse(row.runs.probe),) if row.runs.probe else (),
        seeds=tuple(seeds),
        epochs=scale.epochs,
        precision=scale.precision,
    )
    found = grid(request, preset, catalog)
    each = len(table.columns)  # the grid has seeds outside and attacks inside, clean first
    return {column: tuple(found[number::each]) for number, column in enumerate(table.columns)}
