"""Accuracy on data that the encoder was not pretrained on, as one heat map."""

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
    panels,
    shown_attack,
    under,
)
from robench.report.results import CLEAN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_ROOM = 6  # columns of numbers side by side
_UPRIGHT = 4  # columns whose names have room below them


def draw(points: pd.DataFrame) -> "Figure | None":
    """A row per method, a column per source and target, clean and under attack; None without a
    transfer.
    """
    from matplotlib.figure import Figure

    if not points["transfer"].any():
        return None
    attack = shown_attack(points)
    columns = [Attack(CLEAN, "", ""), *([attack] if attack is not None else [])]
    shown = pd.concat([under(points, column) for column in columns])
    series = list(dict.fromkeys(shown["series"]))
    pairs = list(panels(shown))
    across = len(columns) if len(columns) * len(pairs) <= _ROOM else 1
    down = len(columns) // across
    notes = [*textwrap.wrap(legend(shown, bars="±", flag="*"), 60), *textwrap.wrap(SHOWN, 60)]
    upright = across * len(pairs) <= _UPRIGHT
    arrow = "\n→ " if upright else " → "
    names = [arrow.join(style.label(name, 12) for name in pair) for pair in pairs]
    row = 0.3 if (shown["seeds"] > 1).any() else 0.2
    height = down * (row * len(series) + 0.2) + (0.5 if upright else 1.0) + 0.13 * len(notes)
    figure = Figure(figsize=(style.WIDTH, height))
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    largest = float(shown["accuracy"].max())  # one scale of shades, or 2% would look like 50%
    for axis, column in zip(grid.flat, columns, strict=True):
        axis.set_title(style.label(heading(column)))
        image = _draw_panel(axis, under(shown, column), series, pairs, largest)
        axis.set_xticks(range(len(pairs)), names, fontsize=6)
        if not upright:
            axis.tick_params("x", labelrotation=40)
            for tick in axis.get_xticklabels():
                tick.set(ha="right", rotation_mode="anchor")
    bar = figure.colorbar(image, ax=grid, pad=0.02, fraction=0.05)
    bar.outline.set_visible(False)
    bar.set_label("accuracy (%)")
    figure.supxlabel("\n".join(["pretrained on → probed and tested on", *notes]), fontsize=7)
    return figure


def _draw_panel(
    axis: "Axes",
    cells: pd.DataFrame,
    series: list[str],
    pairs: list[tuple[str, str]],
    largest: float,
) -> "AxesImage":
    values = np.full((len(series), len(pairs)), np.nan)
    texts = np.full(values.shape, "–", dtype=object)
    for one in cells.to_dict("records"):
        place = series.index(one["series"]), pairs.index((one["source"], one["target"]))
        values[place] = one["accuracy"]
        texts[place] = f"{one['accuracy']:.1f}{'*' * one['flagged']}"
        texts[place] += f"\n±{one['sd']:.1f}" if one["seeds"] > 1 else ""
    image = axis.imshow(values, cmap="Blues", vmin=0, vmax=largest or 1, aspect="auto")
    for (row, column), text in np.ndenumerate(texts):
        colour = "white" if values[row, column] > 0.6 * largest else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
    axis.set_yticks(range(len(series)), [style.label(one, 20) for one in series])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return image
