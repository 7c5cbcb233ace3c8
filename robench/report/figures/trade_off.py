"""What robustness costs: clean against robust accuracy."""

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from robench.report.figures import style
from robench.report.figures.picture import Picture
from robench.report.figures.points import at, flagging, heading, ordered, pairs, telling
from robench.report.results import CLEAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(points: pd.DataFrame) -> Picture | None:
    """A point a method, a panel a data set; None where no method has both accuracies."""
    attack = telling(points)
    if attack is None:
        return None
    place = ["series", "source", "target"]
    clean = points[points["attack"] == CLEAN]
    robust = at(points, attack._asdict())
    both = clean.merge(robust, on=place, suffixes=("", "_robust"))
    if both.empty:
        return None
    both = both.assign(flagged=both["flagged"] | both["flagged_robust"])
    shown = pairs(both, in_domain=True)
    both = both[[pair in shown for pair in zip(both["source"], both["target"], strict=True)]]
    axis = f"accuracy under\n{style.label(heading(points, attack), 24)} (%)"
    series = ordered(points["series"])
    data = f"{axis}{series}{both.to_csv()}".encode()
    return Picture("trade_off", data, partial(_draw, both, shown, axis, series))


def _draw(
    both: pd.DataFrame, shown: list[tuple[str, str]], axis: str, series: list[str]
) -> "Figure":
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    figure, axes = style.panels(len(shown), 2, 2.1 if len(shown) == 1 else 1.65)
    looks = style.looks(series)
    for panel, (source, target) in zip(axes, shown, strict=True):
        here = at(both, {"source": source, "target": target})
        panel.grid(True)
        panel.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        panel.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        panel.set_title(style.label(source if source == target else f"{source} → {target}", 26))
        for row in here.to_dict("records"):
            look = looks[row["series"]]
            panel.errorbar(
                row["accuracy"],
                row["accuracy_robust"],
                xerr=[[row["accuracy"] - row["low"]], [row["high"] - row["accuracy"]]],
                yerr=[
                    [row["accuracy_robust"] - row["low_robust"]],
                    [row["high_robust"] - row["accuracy_robust"]],
                ],
                color=look.colour,
                marker=look.marker,
                elinewidth=0.8,
            )
            if row["flagged"]:
                style.flag(panel, row["accuracy"], row["accuracy_robust"])
    figure.supxlabel("clean accuracy (%)", fontsize=7.5)
    figure.supylabel(axis, fontsize=7.5)
    handles = [
        Line2D([], [], color=looks[one].colour, marker=looks[one].marker, ls="", label=one)
        for one in series
        if one in set(both["series"])
    ]
    style.legend(figure, handles, title=f"bars: 95% interval{flagging(both, '×')}")
    return figure
