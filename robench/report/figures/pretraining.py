"""How the pretrainings went: the loss of each epoch."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from robench.grid.records import Curve
from robench.report.figures import style
from robench.report.figures.picture import Picture
from robench.report.results import natural

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(curves: Sequence[Curve]) -> Picture | None:
    """A panel a method, with a loss axis of its own: losses of different objectives do not compare.

    None where no losses are on record.
    """
    shown = sorted(
        (curve for curve in curves if curve.losses),
        key=lambda c: (natural(c.method), natural(c.source), natural(c.encoder), c.seed),
    )
    if not shown:
        return None
    return Picture("pretraining", repr(shown).encode(), partial(_draw, shown))


def _draw(curves: list[Curve]) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    methods = list(dict.fromkeys(curve.method for curve in curves))
    several = len({curve.encoder for curve in curves}) > 1
    runs = [f"{c.source}, {c.encoder}" if several else c.source for c in curves]
    strokes = style.strokes(sorted(set(runs), key=natural))
    looks = style.looks(methods)
    figure = Figure(figsize=(style.WIDTH, 0.45 + 0.85 * len(methods)))
    grid = figure.subplots(len(methods), 1, squeeze=False, sharex=True)
    panels = dict(zip(methods, grid.flat, strict=True))
    for method, panel in panels.items():
        panel.set_title(style.label(method if len(strokes) > 1 else f"{method}, {runs[0]}"))
        panel.grid(True)
        panel.yaxis.set_major_locator(MaxNLocator(4))
    for curve, run in zip(curves, runs, strict=True):
        panels[curve.method].plot(
            range(1, len(curve.losses) + 1),
            curve.losses,
            color=looks[curve.method].colour,
            dashes=strokes[run].dashes,
            linewidth=0.9,
            marker="o" if len(curve.losses) == 1 else "",
            fillstyle=strokes[run].fill,
        )
    last = max(len(curve.losses) for curve in curves)
    grid[-1, 0].xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    grid[-1, 0].set_xlim(1 - 0.03 * last, 1.03 * last)
    figure.supxlabel("epoch", fontsize=7.5)
    figure.supylabel("pretraining loss", fontsize=7.5)
    if len(strokes) > 1:
        handles = [
            Line2D([], [], color=style.GREY, dashes=stroke.dashes, label=run)
            for run, stroke in strokes.items()
        ]
        style.legend(figure, handles)
    return figure
