"""The whole report in one folder: the long frame, the table of a paper, and the figures."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from robench.contracts import Metric
from robench.files import atomic_write
from robench.grid.records import Curve, Result
from robench.report.figures import eps_curve, examples, pretraining, style, trade_off, transfer
from robench.report.figures.points import points, shown_attack
from robench.report.render import comma_separated, frame_csv, latex, markdown
from robench.report.results import Order, frame
from robench.report.table import Table


def write(
    results: Sequence[Result],
    curves: Sequence[Curve],
    table: Table,
    out: Path,
    *,
    order: Order | None = None,
    metrics: Mapping[str, Metric] = MappingProxyType({}),
    redraw: bool = True,
) -> list[Path]:
    """Write the report on ``results`` into the folder ``out``, and return the paths of its files.

    ``table`` is theirs, ``curves`` go into the figure of pretrainings, and each of the ``metrics``
    is a column of ``results.csv``. Without ``redraw``, figures of a report whose text stays the
    same are left as they are.

    Raises ValueError where there are no results.
    """
    order = order or Order()
    tidy = frame(results, order, metrics)
    texts = {
        "results.csv": frame_csv(tidy),
        "table.md": markdown(table),
        "table.csv": comma_separated(table),
        "table.tex": latex(table),
    }
    changed = [save(out / name, text.encode()) for name, text in texts.items()]
    figures = sorted((out / "figures").glob("*.p??"))
    if redraw or any(changed) or not figures:
        curves = sorted(
            curves,
            key=lambda c: (
                order.name("method", c.method),
                order.name("source", c.source),
                order.name("encoder", c.encoder),
                c.seed,
            ),
        )
        shown = sorted(results, key=order.result)
        figures = save_figures(points(tidy, order), curves, shown, out / "figures")
    return [*(out / name for name in texts), *figures]


def save_figures(
    points: pd.DataFrame, curves: Sequence[Curve], results: Sequence[Result], folder: Path
) -> list[Path]:
    """Draw every figure that has something to show, and remove those that have not any more."""
    methods = [result.labels.method for result in results]
    with style.paper():
        drawn = {
            "trade_off": trade_off.draw(points),
            "eps_curve": eps_curve.draw(points),
            "transfer": transfer.draw(points),
            "pretraining": pretraining.draw(curves, methods),
        }
        for place, page in enumerate(examples.draw(results, shown_attack(points)), start=1):
            drawn["examples" if place == 1 else f"examples_{place}"] = page
        files = {
            folder / f"{name}.{ending}": content
            for name, figure in drawn.items()
            if figure is not None
            for ending, content in style.files(figure).items()
        }
    for path, content in files.items():
        save(path, content)
    for path in folder.glob("*.p[nd][gf]"):
        own = path.stem in drawn or re.fullmatch(r"examples(_\d+)?", path.stem)
        if own and path not in files and not folder.is_symlink():
            path.unlink()
    return list(files)


def save(path: Path, content: bytes) -> bool:
    """Make ``content`` the file's content, in one step; whether it was another before."""
    changed = not path.is_file() or path.read_bytes() != content
    if changed:
        with atomic_write(path) as file:
            file.write(content)
    return changed
