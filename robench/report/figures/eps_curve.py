"""Accuracy against eps: how it falls as the attack may change more."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from robench.report.figures import style
from robench.report.figures.points import in_domain, legend, ordered, panels
from robench.report.names import NORMS
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
    figure, axes = style.panels(len(shown), 2, 1.9 if len(shown) == 1 else 1.5, share_y=True)
    for axis, (pair, norm) in zip(axes, shown, strict=True):
        axis.set_title(style.transfer_label(*pair) + (f", {NORMS[norm]}" if len(norms) > 1 else ""))
        here = panels(points)[pair]
        _draw_panel(axis, here[here["norm"].isin(["", norm])], looks, strokes)
    top = 1.05 * points["high"].max()
    axes[0].set_ylim(-0.05 * top, min(100.0, top))
    unit = ", in 1/255" if of_255(attacked["eps"]) else ""
    figure.supxlabel(f"ε{unit}" if len(norms) > 1 else f"ε ({NORMS[norms[0]]}{unit})")
    figure.supylabel("accuracy (%)")
    title = legend(points, bars="bands" if (points["seeds"] > 1).all() else "bars", flag="×")
    methods = [look.handle(one) for one, look in looks.items() if one in set(points["series"])]
    kinds = [stroke.handle(one) for one, stroke in strokes.items()]
    style.legend(figure, methods, kinds, title=title)
    return figure


def runs(sizes: Sequence[float], tried: set[float]) -> list[list[float]]:
    """The ``sizes``, ascending, cut wherever something else was ``tried`` between two of them.

    A straight line over such an eps would read as a value there.
    """
    found: list[list[float]] = []
    for size in sizes:
        if found and not any(found[-1][-1] < one < size for one in tried):
            found[-1].append(size)
        else:
            found.append([size])
    return found


def of_255(sizes: Iterable[str]) -> bool:
    """Whether every eps is typed as so many 255ths."""
    return all(size.endswith("/255") for size in sizes)


def _draw_panel(
    axis: "Axes",
    here: pd.DataFrame,
    looks: dict[str, style.Look],
    strokes: dict[str, style.Stroke],
) -> None:
    axis.grid(True)
    ticks = {0.0: "0"} | dict(zip(here["size"], here["eps"].replace("", "0"), strict=True))
    if of_255(text for text in ticks.values() if text != "0"):
        ticks = {size: text.removesuffix("/255") for size, text in ticks.items()}
    axis.set_xticks(list(ticks), list(ticks.values()))
    for one, look in looks.items():
        own = here[here["series"] == one]
        clean = own[own["attack"] == CLEAN]
        _draw_points(axis, clean, look, "full")
        for attack, stroke in strokes.items():
            attacked = own[own["attack"] == attack].sort_values("size")
            _draw_points(axis, attacked, look, stroke.fill)
            line = pd.concat([clean, attacked]).set_index("size")
            for run in runs(list(line.index), set(ticks)) if len(attacked) else []:
                part = line.loc[run]
                axis.plot(run, part["accuracy"], color=look.colour, dashes=stroke.dashes)
                if (part["seeds"] > 1).all():
                    axis.fill_between(
                        run, part["low"], part["high"], color=look.colour, alpha=0.2, linewidth=0
                    )


def _draw_points(axis: "Axes", points: pd.DataFrame, look: style.Look, fill: style.Fill) -> None:
    axis.errorbar(
        points["size"],
        points["accuracy"],
        yerr=[points["accuracy"] - points["low"], points["high"] - points["accuracy"]],
        color=look.colour,
        linestyle="",
        elinewidth=0.7,
        marker=look.marker,
        markersize=3.4,
        fillstyle=fill,
        markerfacecoloralt="white",
        zorder=3,
    )
    for _, flagged in points[points["flagged"]].iterrows():
        style.flag(axis, flagged["size"], flagged["accuracy"])
