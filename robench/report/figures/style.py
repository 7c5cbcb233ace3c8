"""The look of every figure: sizes, colours, markers, legends, files."""

import io
import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from robench.report.names import proper

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

WIDTH = 3.3
"""The width of a paper's column in inches."""

# Okabe & Ito, "Color Universal Design" (2008), without its yellow: too pale for a line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
DASHES = ((), (4, 1.5), (1, 1.2), (4, 1.2, 1, 1.2), (7, 2), (2, 1, 1, 1, 1, 1))
Fill = Literal["full", "none", "left", "bottom", "right", "top"]
FILLS: tuple[Fill, ...] = ("full", "none", "left", "bottom", "right", "top")
CORRECT, WRONG = COLOURS[0], COLOURS[1]
GREY = "#666666"

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # it comes with matplotlib, so every machine draws the same
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "figure.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.1,
    "lines.markersize": 4.5,
    "text.parse_math": False,  # a name with two dollar signs is not a formula
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,  # publishers refuse matplotlib's default, Type 3
}


class Look(NamedTuple):
    """A method's colour and marker; either distinguishes it from the others."""

    colour: str
    marker: str

    def handle(self, name: str) -> "Line2D":
        """The method in a legend."""
        from matplotlib.lines import Line2D

        return Line2D([], [], color=self.colour, marker=self.marker, linestyle="", label=name)


class Stroke(NamedTuple):
    """One of several lines of a method: its dashes, and how much of a marker is filled."""

    dashes: tuple[float, ...]
    fill: Fill

    def handle(self, name: str, *, line: bool = True, marker: str = "o") -> "Line2D":
        """The line, or its markers alone, in a legend."""
        from matplotlib.lines import Line2D

        handle = Line2D([], [], color=GREY, marker=marker, linestyle="", label=name)
        handle.set(fillstyle=self.fill, markerfacecoloralt="white")
        if line:
            handle.set(linestyle="-", dashes=self.dashes)
        return handle


@contextmanager
def paper() -> Iterator[None]:
    """Draw and save within it: a person's own matplotlib settings do not change the figures."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each name, in the order given: the same for the same names in every figure."""
    several = map(Look, cycle(COLOURS), cycle(MARKERS))
    return dict(zip(dict.fromkeys(names), several, strict=False))


def strokes(names: Sequence[str]) -> dict[str, Stroke]:
    """A stroke for each name, the first one solid."""
    return dict(zip(names, map(Stroke, cycle(DASHES), cycle(FILLS)), strict=False))


def label(name: str, width: int = 48) -> str:
    """A name as papers print it, as one short line that matplotlib shows as it is."""
    name = proper(name)
    text = textwrap.shorten(name, width, placeholder=" …") if " " in name else name
    text = text if len(text) <= width else f"{text[: width - 1]}…"
    return f" {text}" if text.startswith("_") else text  # a legend hides names that begin with _


def transfer_label(source: str, target: str, width: int = 48) -> str:
    """A data set, or the transfer from one to another."""
    return label(source if source == target else f"{source} → {target}", width)


def flag(axis: "Axes", x: float, y: float) -> None:
    """Cross out a point whose number is flagged."""
    axis.plot(x, y, marker="x", color="black", markersize=6, zorder=4)


def panels(
    count: int, across: int, height: float, *, share_x: bool = False, share_y: bool = False
) -> "tuple[Figure, list[Axes]]":
    """A column-wide figure of ``count`` panels, ``height`` inches each, ``across`` side by side."""
    from matplotlib.figure import Figure

    across = min(count, across)
    down = math.ceil(count / across)
    figure = Figure(figsize=(WIDTH, down * height))
    axes = list(figure.subplots(down, across, squeeze=False, sharex=share_x, sharey=share_y).flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def legend(figure: "Figure", *groups: "Sequence[Line2D]", title: str = "") -> None:
    """A legend above the panels, each group in rows of its own.

    It has as many columns as its longest name leaves room for, and makes the figure taller.
    """
    from matplotlib.lines import Line2D

    names = [label(str(handle.get_label())) for group in groups for handle in group]
    longest = max(map(len, names), default=0)
    across = max(1, min(max(map(len, groups)), 4, 56 // (longest + 6)))
    blank = Line2D([], [], linestyle="", label=" ")
    rows = [handle for group in groups for handle in [*group, *[blank] * (-len(group) % across)]]
    # Matplotlib fills a legend column by column.
    handles = [handle for column in range(across) for handle in rows[column::across]]
    lines = [part for line in title.splitlines() for part in textwrap.wrap(line, 60)]
    figure.legend(
        handles,
        [label(str(handle.get_label())) for handle in handles],
        loc="outside upper center",
        ncols=across,
        title="\n".join(lines) or None,
    )
    width, height = figure.get_size_inches()
    taller = 0.14 * (len(rows) // across + len(lines)) + 0.12
    figure.set_size_inches(width, height + taller)


def files(figure: "Figure") -> dict[str, bytes]:
    """The figure as PNG and PDF, by the ending of the file; equal figures are equal bytes."""
    metadata: dict[str, dict[str, str | None]] = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    contents = {}
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        for kind, fields in metadata.items():
            file = io.BytesIO()
            figure.savefig(file, format=kind, dpi=300, metadata=fields)
            contents[kind] = file.getvalue()
    return contents
