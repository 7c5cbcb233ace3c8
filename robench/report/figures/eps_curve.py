"""How accuracy falls as the attack may change more: accuracy against eps."""

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd

from robench.report.figures import style
from robench.report.figures.picture import Picture
from robench.report.figures.points import at, flagging, ordered, pairs
from robench.report.results import CLEAN, attack_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Panel = tuple[str, str, str]  # source, target, norm


def picture(points: pd.DataFrame) -> Picture | None:
    """A line a method and attack, a panel a data set and norm; None where no attack has an eps."""
    points = points[(points["attack"] == CLEAN) | (points["size"] > 0)]
    attacked = points[points["attack"] != CLEAN]
    if attacked.empty:
        return None
    panels = [
        (source, target, norm)
        for norm in sorted(set(attacked["norm"]), key=lambda norm: attack_order("", norm, ""))
        for source, target in pairs(attacked, in_domain=True)
        if not at(attacked, {"source": source, "target": target, "norm": norm}).empty
    ]
    data = f"{panels}{points.to_csv()}".encode()
    return Picture("eps_curve", data, partial(_draw, points, panels))


def is_complete(sizes: set[float], tried: set[float]) -> bool:
    """Whether a line through ``sizes`` passes by no eps that something else was ``tried`` at.

    A straight line over such an eps would read as a value there.
    """
    return sizes >= {size for size in tried if size <= max(sizes)}


def _draw(points: pd.DataFrame, panels: list[_Panel]) -> "Figure":
    from matplotlib.lines import Line2D

    figure, axes = style.panels(len(panels), 1, 1.9 if len(panels) == 1 else 1.35)
    attacked = points[points["attack"] != CLEAN]
    tried = attacked.groupby("attack")["size"].nunique()
    # The attack with the most eps comes first, and so gets the solid line.
    attacks = sorted(ordered(attacked["attack"]), key=lambda attack: -tried[attack])
    looks, strokes = style.looks(ordered(points["series"])), style.strokes(attacks)
    norms = list(dict.fromkeys(norm for _, _, norm in panels))
    joined: set[str] = set()
    for axis, (source, target, norm) in zip(axes, panels, strict=True):
        here = at(points, {"source": source, "target": target})
        here = here[here["norm"].isin(["", norm])]
        title = source if source == target else f"{source} → {target}"
        axis.set_title(style.label(f"{title}, {norm}" if len(norms) > 1 else title, 48))
        joined |= _draw_panel(axis, here, looks, strokes)
    figure.supxlabel("eps" if len(norms) > 1 else f"eps ({norms[0]})", fontsize=7.5)
    figure.supylabel("accuracy (%)", fontsize=7.5)
    methods = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle="", label=one)
        for one, look in looks.items()
    ]
    kinds = []
    for attack, stroke in strokes.items():
        kind = Line2D([], [], color=style.GREY, marker="o", linestyle="", label=attack)
        kind.set(fillstyle=stroke.fill, markerfacecoloralt="white")
        if attack in joined:
            kind.set(linestyle="-", dashes=stroke.dashes)
        kinds.append(kind)
    told = [f"bars: 95% interval{flagging(points, '×')}"]
    if len(looks) * len(strokes) > 1:
        told.append("points around a tick are at its eps")
    style.legend(figure, methods, kinds, title="\n".join(told))
    return figure


def _draw_panel(
    axis: "Axes",
    here: pd.DataFrame,
    looks: dict[str, style.Look],
    strokes: dict[str, style.Stroke],
) -> set[str]:
    """Draw one panel; the attacks that have lines in it."""
    axis.grid(True)
    ticks = {0.0: "0"} | dict(zip(here["size"], here["eps"].replace("", "0"), strict=True))
    axis.set_xticks(list(ticks), list(ticks.values()))
    step = _step(sorted(ticks), len(strokes) * len(looks))
    joined = set()
    for place, (one, look) in enumerate(looks.items()):
        clean = at(here, {"series": one, "attack": CLEAN})
        clean_shift = step * (place - (len(looks) - 1) / 2)
        _draw_points(axis, clean, look, "full", clean_shift)
        for turn, (attack, stroke) in enumerate(strokes.items()):
            line = at(here, {"series": one, "attack": attack}).sort_values("size")
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


def _step(sizes: list[float], abreast: int) -> float:
    """How far apart points of one eps stand, or the one drawn last would hide the others."""
    gap = min(after - before for before, after in pairwise(sizes))
    return min(0.02 * sizes[-1], 0.6 * gap / abreast)


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
    for _, crossed in points[points["flagged"]].iterrows():
        style.flag(axis, crossed["size"] + shift, crossed["accuracy"])
