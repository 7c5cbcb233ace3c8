"""Results as one tidy long table."""

from collections.abc import Iterable, Mapping

import pandas as pd

from robench.contracts import Metric
from robench.grid.records import Result
from robench.report.order import cell_order
from robench.trust.intervals import wilson

COLUMNS = (
    "method",
    "source",
    "target",
    "encoder",
    "probe",
    "attack",
    "norm",
    "eps",
    "seed",
    "n",
    "accuracy",
    "ci_low",
    "ci_high",
    "flags",
    "seconds",
    "key",
)


def frame(results: Iterable[Result]) -> pd.DataFrame:
    """One row a cell, in a fixed order; accuracy and its 95% Wilson interval are fractions.

    Raises ValueError where there are no results.
    """
    cells = sorted((result.cell for result in results), key=cell_order)
    if not cells:
        raise ValueError("there are no results to report; `robench run` makes some")
    rows = []
    for cell in cells:
        labels, interval = cell.labels, wilson(cell.correct, cell.n)
        rows.append(
            (
                labels.method,
                labels.source,
                labels.target,
                labels.encoder,
                labels.probe,
                labels.attack,
                cell.norm,
                cell.eps,
                cell.seed,
                cell.n,
                cell.correct / cell.n,
                interval.low,
                interval.high,
                ";".join(cell.flags),
                cell.seconds,
                cell.key,
            )
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def metric_frame(results: Iterable[Result], metrics: Mapping[str, Metric]) -> pd.DataFrame:
    """One row a cell, in the order of `frame`: its key, then each metric of its outcomes."""
    ordered = sorted(results, key=lambda result: cell_order(result.cell))
    rows = [
        (result.cell.key, *(metric(result.outcome) for metric in metrics.values()))
        for result in ordered
    ]
    return pd.DataFrame(rows, columns=["key", *metrics])
