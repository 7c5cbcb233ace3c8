"""Accuracy on data that the encoder was not pretrained on: source against target."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from robench.report.figures import style
from robench.report.figures.points import (
    SHOWN,
    Attack,
    heading,
    legend,
    ordered,
    shown_attack,
    under,
)
from robench.report.results import CLEAN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(points: pd.DataFrame) -> "Figure | None":
    """Two panels per method, clean and under attack; None without a transfer."""
    from matplotlib.figure import Figure

    if not points["transfer"].any():
        return None
    attack = shown_attack(points)
    columns = [Attack(CLEAN, "", ""), *([attack] if attack is not None else [])]
    shown = pd.concat([under(points, column) for column in columns])
    series = list(dict.fromkeys(shown["series"]))
    sources, targets = ordered(shown["source"]), ordered(shown["target"])
    titles = {
        (one, column): "\n".join(textwrap.wrap(f"{one}, {heading(points, column)}", 23))
        for one in series
        for column in columns
    }
    lines = 1 + max(title.count("\n") for title in titles.values())
    several = bool((shown["seeds"] > 1).any())
    height = (0.3 if several else 0.2) * len(sources) + 0.14 + 0.13 * lines
    notes = [*textwrap.wrap(legend(shown, bars="±", flag="*"), 60), *textwrap.wrap(SHOWN, 60)]
    figure = Figure(figsize=(style.WIDTH, len(series) * height + 0.4 + 0.13 * len(notes)))
    grid = figure.subplots(len(series), len(columns), squeeze=False, sharex=True, sharey=True)
    largest = float(shown["accuracy"].max())  # one scale of shades, or 2% would look like 50%
    for line, one in zip(grid, series, strict=True):
        for axis, column in zip(line, columns, strict=True):
            cells = under(shown[shown["series"] == one], column)
            axis.set_title(titles[one, column])
            _draw_panel(axis, cells, sources, targets, largest)
    figure.supxlabel("\n".join(["target (probe and test)", *notes]))
    figure.supylabel("source (pretraining)")
    return figure


def _draw_panel(
    axis: "Axes", cells: pd.DataFrame, sources: list[str], targets: list[str], largest: float
) -> None:
    values = np.full((len(sources), len(targets)), np.nan)
    texts = np.full(values.shape, "–", dtype=object)
    for one in cells.to_dict("records"):
        place = sources.index(one["source"]), targets.index(one["target"])
        values[place] = one["accuracy"]
        texts[place] = f"{one['accuracy']:.1f}{'*' * one['flagged']}"
        texts[place] += f"\n± {one['sd']:.1f}" if one["seeds"] > 1 else ""
    axis.imshow(values, cmap="Blues", vmin=0, vmax=1.25 * largest or 1, aspect="auto")
    for (row, column), text in np.ndenumerate(texts):
        colour = "white" if values[row, column] > 0.75 * largest else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    crowded = sum(len(style.label(target, 16)) + 1 for target in targets) > 24
    names = [style.label(target, 16) for target in targets]
    axis.set_xticks(range(len(targets)), names, rotation=40 if crowded else 0)
    if crowded:
        for tick in axis.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(sources)), [style.label(source, 16) for source in sources])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
