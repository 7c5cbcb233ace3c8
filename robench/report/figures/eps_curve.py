"""Accuracy against eps: how it falls as the attack may change more."""

from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd

from robench.report.figures import style
from robench.report.figures.points import in_domain, legend, ordered, panels
from robench.report.results import CLEAN, Order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(points: pd.DataFrame) -> "Figure | None":
    """A line per method and attack, a panel per data set and norm; None where none has an eps.

    Controls, in linf from 0.5 on, would leave the other radii no room, and stand in the table only.
    """
    looks = style.looks(points["series"])
    control = (points["norm"] == "linf") & (points["size"] >= 0.5)
    points = points[(points["attack"] == CLEAN) | (points["size"] > 0) & ~control]
    attacked = points[points["attack"] != CLEAN]
    if attacked.empty:
        return None
    norms = sorted(set(attacked["norm"]), key=lambda norm: Order().attack("", norm))
    tested = panels(in_domain(attacked)).items()
    shown = [(pair, norm) for norm in norms for pair, own in tested if norm in set(own["norm"])]
    strokes = style.strokes(ordered(attacked["attack"]))
    figure, axes = style.panels(len(shown), 1, 1.9 if len(shown) == 1 else 1.35)
    joined: set[str] = set()
    for axis, (pair, norm) in zip(axes, shown, strict=True):
        axis.set_title(style.transfer_label(*pair) + (f", {norm}" if len(norms) > 1 else ""))
        here = panels(points)[pair]
        joined |= _draw_panel(axis, here[here["norm"].isin(["", norm])], looks, strokes)
    figure.supxlabel("eps" if len(norms) > 1 else f"eps ({norms[0]})")
    figure.supylabel("accuracy (%)")
    title = legend(points, bars="bars", flag="×")
    if len(looks) * len(strokes) > 1:
        title += "\npoints around a tick are at its eps"
    methods = [look.handle(one) for one, look in looks.items() if one in set(points["series"])]
    kinds = [stroke.handle(one, line=one in joined) for one, stroke in strokes.items()]
    style.legend(figure, methods, kinds, title=title)
    return figure


def is_complete(sizes: set[float], tried: set[float]) -> bool:
    """Whether a line through ``sizes`` passes by no eps that something else was ``tried`` at.

    A straight line over such an eps would read as a value there.
    """
    return sizes >= {size for size in tried if size <= max(sizes)}


def _draw_panel(
    axis: "Axes",
    here: pd.DataFrame,
    looks: dict[str, style.Look],
    strokes: dict[str, style.Stroke],
) -> set[str]:
    """Draw one panel, and return the attacks that have lines in it."""
    axis.grid(True)
    ticks = {0.0: "0"} | dict(zip(here["size"], here["eps"].replace("", "0"), strict=True))
    axis.set_xticks(list(ticks), list(ticks.values()))
    # Points of one eps stand this far apart, or the last one drawn would hide the others.
    gap = min(after - before for before, after in pairwise(sorted(ticks)))
    step = min(0.02 * max(ticks), 0.6 * gap / (len(strokes) * len(looks)))
    joined = set()
    for place, (one, look) in enumerate(looks.items()):
        own = here[here["series"] == one]
        clean, clean_shift = own[own["attack"] == CLEAN], step * (place - (len(looks) - 1) / 2)
        _draw_points(axis, clean, look, "full", clean_shift)
        for turn, (attack, stroke) in enumerate(strokes.items()):
            line = own[own["attack"] == attack].sort_values("size")
            shift = clean_shift + step * len(looks) * (turn - (len(strokes) - 1) / 2)
            _draw_points(axis, line, look, stroke.fill, shift)
            if not line.empty and is_complete({0.0, *line["size"]}, set(ticks)):
                joined.add(attack)
                axis.plot(
                    [*(clean["size"] + clean_shift), *(line["size"] + shift)],
                    [*clean["accuracy"], *line["accuracy"]],
                    color=look.colour,
                    dashes=stroke.dashes,
                )
    top = 1.05 * max(here["high"])
    axis.set_ylim(-0.05 * top, min(100.0, top))
    return joined


def _draw_points(
    axis: "Axes", points: pd.DataFrame, look: style.Look, fill: style.Fill, shift: float
) -> None:
    axis.errorbar(
        points["size"] + shift,
        points["accuracy"],
        yerr=[points["accuracy"] - points["low"], points["high"] - points["accuracy"]],
        color=look.colour,
        linestyle="",
        elinewidth=0.7,
        marker=look.marker,
        markersize=3.8,
        fillstyle=fill,
        markerfacecoloralt="white",
        zorder=3,
    )
    for _, flagged in points[points["flagged"]].iterrows():
        style.flag(axis, flagged["size"] + shift, flagged["accuracy"])
