"""Pretraining curves: the loss of each epoch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from robench.grid.records import Curve
from robench.report.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(curves: Sequence[Curve], methods: Sequence[str] = ()) -> "Figure | None":
    """A panel per method, with a loss axis of its own: losses of different objectives do not
    compare. ``methods`` are all that have a colour. None where no losses are on record.
    """
    from matplotlib.ticker import MaxNLocator

    curves = [curve for curve in curves if curve.losses]
    if not curves:
        return None
    several = len({curve.encoder for curve in curves}) > 1
    runs = [f"{c.source}, {c.encoder}" if several else c.source for c in curves]
    strokes = style.strokes(list(dict.fromkeys(runs)))
    looks = style.looks([*methods, *(curve.method for curve in curves)])
    shown = list(dict.fromkeys(curve.method for curve in curves))
    figure, axes = style.panels(len(shown), 1, 0.85 + 0.45 / len(shown), share_x=True)
    panels = dict(zip(shown, axes, strict=True))
    for method, axis in panels.items():
        axis.set_title(style.label(method if len(strokes) > 1 else f"{method}, {runs[0]}"))
        axis.grid(True)
        axis.yaxis.set_major_locator(MaxNLocator(4))
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
    axes[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes[-1].set_xlim(1 - 0.03 * last, 1.03 * last)
    figure.supxlabel("epoch")
    figure.supylabel("pretraining loss")
    if len(strokes) > 1:
        handles = [stroke.handle(run, marker="") for run, stroke in strokes.items()]
        style.legend(figure, handles)
    return figure
