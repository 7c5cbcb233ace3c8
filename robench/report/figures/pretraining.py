"""Pretraining curves: the loss of each epoch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from robench.grid.records import Curve
from robench.report.figures import style
from robench.report.figures.points import MOST

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ONE_BELOW_THE_OTHER = 6  # panels; more stand in two columns


def draw(curves: Sequence[Curve], methods: Sequence[str] = ()) -> "Figure | None":
    """A panel per method, with a loss axis of its own: losses of different objectives do not
    compare. Of several seeds, the mean and a band of one standard deviation.

    ``methods`` are all that have a colour; of more than `MOST` with losses the first are shown.
    None where no losses are on record.
    """
    from matplotlib.ticker import MaxNLocator

    curves = [curve for curve in curves if curve.losses]
    if not curves:
        return None
    every = list(dict.fromkeys(curve.method for curve in curves))
    shown = every[:MOST]
    curves = [curve for curve in curves if curve.method in shown]
    several = len({curve.encoder for curve in curves}) > 1
    seeds: dict[tuple[str, str], list[Sequence[float]]] = {}
    for one in curves:
        run = f"{one.source}, {one.encoder}" if several else one.source
        seeds.setdefault((one.method, run), []).append(one.losses)
    strokes = style.strokes(list(dict.fromkeys(run for _, run in seeds)))
    looks = style.looks([*methods, *shown])
    across = 1 if len(shown) <= _ONE_BELOW_THE_OTHER else 2
    figure, axes = style.panels(len(shown), across, 0.85 + 0.45 / len(shown), share_x=True)
    panels = dict(zip(shown, axes, strict=True))
    for method, axis in panels.items():
        title = method if len(strokes) > 1 else f"{method}, {next(iter(strokes))}"
        axis.set_title(style.label(title, 48 // across))
        axis.grid(True)
        axis.yaxis.set_major_locator(MaxNLocator(4))
    for (method, run), losses in seeds.items():
        of_epoch = pd.DataFrame(map(pd.Series, losses)).rename(columns=lambda epoch: epoch + 1)
        mean, sd, colour = of_epoch.mean(), of_epoch.std(), looks[method].colour
        panels[method].plot(
            mean.index,
            mean,
            color=colour,
            dashes=strokes[run].dashes,
            marker="o" if len(mean) == 1 else "",
            fillstyle=strokes[run].fill,
        )
        if len(losses) > 1:
            panels[method].fill_between(
                mean.index, mean - sd, mean + sd, color=colour, alpha=0.2, linewidth=0
            )
    last = max(len(curve.losses) for curve in curves)
    axes[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes[-1].set_xlim(1 - 0.03 * last, 1.03 * last)
    figure.supxlabel("epoch")
    figure.supylabel("pretraining loss")
    most = max(map(len, seeds.values()))
    said = [f"bands: standard deviation over {most} seeds"] * (most > 1)
    said += [f"the first {MOST} of {len(every)} methods"] * (len(every) > MOST)
    handles = [stroke.handle(run, marker="") for run, stroke in strokes.items()]
    if len(handles) > 1 or said:
        style.legend(figure, handles if len(handles) > 1 else [], title=", ".join(said))
    return figure
