"""What an encoder is worth on data it was not pretrained on: source against target."""

import textwrap
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from robench.report.figures import style
from robench.report.figures.picture import Picture
from robench.report.figures.points import Asked, at, flagging, heading, ordered, telling
from robench.report.results import CLEAN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CHARACTER = 0.052  # inches, the width of one in a title, on average


def picture(points: pd.DataFrame) -> Picture | None:
    """Two panels a method, clean and under the most telling attack; None without a transfer."""
    if not (points["source"] != points["target"]).any():
        return None
    columns = [Asked(CLEAN, "", "")]
    attack = telling(points)
    if attack is not None:
        columns.append(attack)
    shown = pd.concat([at(points, column._asdict()) for column in columns])
    titles = [heading(points, column) for column in columns]
    data = f"{titles}{shown.to_csv()}".encode()
    return Picture("transfer", data, partial(_draw, shown, columns, titles))


def _draw(shown: pd.DataFrame, columns: list[Asked], titles: list[str]) -> "Figure":
    from matplotlib.figure import Figure

    series = ordered(shown["series"])
    sources, targets = ordered(shown["source"]), ordered(shown["target"])
    longest = max(len(style.label(source, 16)) for source in sources)
    room = int((style.WIDTH - 0.35) / 2 / _CHARACTER - longest / 2)
    above = {
        (one, title): "\n".join(textwrap.wrap(f"{one}, {title}", room, break_on_hyphens=False))
        for one in series
        for title in titles
    }
    lines = 1 + max(text.count("\n") for text in above.values())
    largest = float(shown["accuracy"].max())  # one scale of shades, or 2% would look like 50%
    height = 0.2 * len(sources) + 0.14 + 0.13 * lines
    figure = Figure(figsize=(style.WIDTH, len(series) * height + 0.55))
    grid = figure.subplots(len(series), len(columns), squeeze=False, sharex=True, sharey=True)
    for line, one in zip(grid, series, strict=True):
        for axis, column, title in zip(line, columns, titles, strict=True):
            cells = at(shown, {"series": one, **column._asdict()})
            cells = cells.set_index(["source", "target"])
            axis.set_title(above[one, title])
            _draw_panel(axis, cells, sources, targets, largest)
    flags = flagging(shown, "*").removeprefix(", ")
    below = f"target (probe and test)\n{flags}" if flags else "target (probe and test)"
    figure.supxlabel(below, fontsize=7.5)
    figure.supylabel("source (pretraining)", fontsize=7.5)
    return figure


def _draw_panel(
    axis: "Axes", cells: pd.DataFrame, sources: list[str], targets: list[str], largest: float
) -> None:
    accuracy = cells["accuracy"].unstack().reindex(index=sources, columns=targets)
    values = accuracy.to_numpy(dtype=float)
    axis.imshow(values, cmap="Blues", vmin=0, vmax=1.25 * largest or 1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        missing = bool(np.isnan(value))
        dark = not missing and value > 0.75 * largest
        place = (sources[row], targets[column])
        mark = "*" if not missing and cells.loc[place, "flagged"] else ""
        axis.text(
            column,
            row,
            "–" if missing else f"{value:.1f}{mark}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        )
    crowded = sum(len(style.label(target, 16)) + 1 for target in targets) > 24
    axis.set_xticks(
        range(len(targets)),
        [style.label(target, 16) for target in targets],
        rotation=40 if crowded else 0,
        ha="right" if crowded else "center",
        rotation_mode="anchor" if crowded else "default",
    )
    axis.set_yticks(range(len(sources)), [style.label(source, 16) for source in sources])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
