"""The whole report: the tidy table, the table of a paper, and the figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from robench.contracts import Metric
from robench.grid.records import Curve, Examples, Result
from robench.report.figures import eps_curve, picture, pretraining, trade_off, transfer
from robench.report.figures import examples as example_images
from robench.report.figures.points import points, strongest
from robench.report.files import replace
from robench.report.render import comma_separated, frame_csv, latex, markdown
from robench.report.results import frame, metric_frame
from robench.report.table import pivot


def write(
    results: Sequence[Result],
    curves: Sequence[Curve],
    examples: Sequence[Examples],
    out: Path,
    *,
    scale: str,
    metrics: Mapping[str, Metric] = MappingProxyType({}),
) -> list[Path]:
    """Write the report on ``results`` into the folder ``out``; the paths of all its files.

    ``curves`` and ``examples`` go into the figures of pretrainings and of example images, ``scale``
    into the table's caption; each of the ``metrics`` is a column of ``metrics.csv``. A file whose
    content would be the same is left alone, and a figure that has nothing to show any more is
    removed. ``examples`` may be more than are shown: the strongest attack's are.

    Raises ValueError where there are no results, or two for the same place in the table.
    """
    tidy = frame(results)
    texts = {"results.csv": frame_csv(tidy)}
    table = pivot(results, scale=scale)
    texts |= {
        "table.md": markdown(table),
        "table.csv": comma_separated(table),
        "table.tex": latex(table),
    }
    if metrics:
        texts["metrics.csv"] = frame_csv(metric_frame(results, metrics))
    for name, text in texts.items():
        replace(out / name, text.encode())

    averaged = points(tidy)
    optional = [
        trade_off.picture(averaged),
        eps_curve.picture(averaged),
        transfer.picture(averaged),
        pretraining.picture(curves),
    ]
    pictures = [one for one in optional if one is not None] + example_images.pictures(
        examples, strongest(averaged)
    )
    return [*(out / name for name in texts), *picture.save(pictures, out / "figures")]
