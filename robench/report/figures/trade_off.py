"""The cost of robustness: clean against robust accuracy."""

from typing import TYPE_CHECKING

import pandas as pd

from robench.report.figures import style
from robench.report.figures.points import (
    SHOWN,
    heading,
    in_domain,
    legend,
    panels,
    shown_attack,
    under,
)
from robench.report.results import CLEAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(points: pd.DataFrame) -> "Figure | None":
    """A point per method, a panel per data set; None where no method has both accuracies.

    A line joins the methods that no other one is ahead of in both. A point of accuracy is as long
    in every panel.
    """
    from matplotlib.ticker import MaxNLocator

    attack = shown_attack(points)
    if attack is None:
        return None
    clean, robust = points[points["attack"] == CLEAN], under(points, attack)
    on = ["series", "source", "target"]
    both = clean.merge(robust, on=on, suffixes=("", "_robust"))
    if both.empty:
        return None
    both = in_domain(both)
    both = both.assign(flagged=both["flagged"] | both["flagged_robust"])
    shown = panels(both)
    figure, axes = style.panels(len(shown), 2, 2.1 if len(shown) == 1 else 1.65, share_y=True)
    looks = style.looks(points["series"])
    for axis, (pair, here) in zip(axes, shown.items(), strict=True):
        axis.grid(True)
        axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.set_title(style.transfer_label(*pair, 26))
        frontier = [
            (one.accuracy, one.accuracy_robust)
            for one in here.sort_values("accuracy").itertuples()
            if not (
                (here.accuracy > one.accuracy) & (here.accuracy_robust > one.accuracy_robust)
            ).any()
        ]
        axis.plot(*zip(*frontier, strict=True), color=style.GREY, linewidth=0.6, zorder=1)
        for row in here.to_dict("records"):
            x, y, look = row["accuracy"], row["accuracy_robust"], looks[row["series"]]
            axis.errorbar(
                x,
                y,
                xerr=[[x - row["low"]], [row["high"] - x]],
                yerr=[[y - row["low_robust"]], [row["high_robust"] - y]],
                color=look.colour,
                marker=look.marker,
                elinewidth=0.8,
            )
            if row["flagged"]:
                style.flag(axis, x, y)
    ends = [axis.get_xlim() for axis in axes]
    half = max(high - low for low, high in ends) / 2
    for axis, (low, high) in zip(axes, ends, strict=True):
        axis.set_xlim((low + high) / 2 - half, (low + high) / 2 + half)
    figure.supxlabel("clean accuracy (%)")
    figure.supylabel(f"accuracy (%) under\n{style.label(heading(attack), 32)}")
    handles = [look.handle(one) for one, look in looks.items() if one in set(both["series"])]
    title = legend(in_domain(pd.concat([clean, robust])), bars="bars", flag="×")
    style.legend(figure, handles, title=f"{title}\n{SHOWN}")
    return figure
