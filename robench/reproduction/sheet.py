"""A reproduction as CSV: a line for each cell of the published table."""

import csv
import io

from robench.reproduction.lines import Line
from robench.reproduction.run import Reproduction
from robench.reproduction.tables import Settings
from robench.reproduction.text import difference

COLUMNS = (
    "table",
    "scale",
    "method",
    "protocol",
    "source",
    "target",
    "attack",
    "norm",
    "eps",
    "published",
    "confidence",
    "published_source",
    "measured",
    "sd",
    "difference",
    "ci_low",
    "ci_high",
    "published_lies",
    "n",
    "seeds",
    "flags",
    "preset",
    "runs",
    "probe",
    "not_run",
    "keys",
)


def comma_separated(made: Reproduction) -> str:
    """Accuracies in percent, differences in points; what is missing is empty.

    Published values and differences carry their marks: one that is not checked is no bare number.
    ``published_lies`` is empty at a reduced scale.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in made.lines:
        row, column = line.place.row, line.place.column
        names = (row.method, row.protocol, row.source, row.target)
        writer.writerow(
            [
                *(made.name, made.scale.name, *names),
                *(column.attack, column.norm, column.eps),
                *_published(line),
                *_measured(line, full=made.scale.full),
                *_runs(line),
            ]
        )
    return text.getvalue()


def _published(line: Line) -> tuple[str, ...]:
    value = line.place.published
    if value is None:
        return "", "", ""
    return str(value), value.confidence, value.source_text


def _measured(line: Line, *, full: bool) -> tuple[str, ...]:
    measured = line.measured
    if measured is None:
        return ("",) * 9
    return (
        f"{measured.mean:.2f}",
        "" if measured.sd is None else f"{measured.sd:.2f}",
        "" if line.difference is None else difference(line),
        f"{measured.interval.low:.2f}",
        f"{measured.interval.high:.2f}",
        line.lies.value if full and line.lies is not None else "",
        str(measured.n),
        ";".join(map(str, measured.results)),
        ";".join(measured.flags),
    )


def _runs(line: Line) -> tuple[str, ...]:
    runs = line.place.row.runs
    if not isinstance(runs, Settings):
        return "", "", "", runs, ""
    keys = [] if line.measured is None else [r.cell.key for r in line.measured.results.values()]
    return runs.preset, runs.method, runs.probe, "", ";".join(keys)
