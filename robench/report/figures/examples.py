"""Attacked images to look at: clean, attacked, and the change between them, magnified."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robench.grid.records import Examples
from robench.report.figures import style
from robench.report.figures.points import Attack
from robench.report.results import natural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

ACROSS = 5  # images side by side, as many as leave room for their classes' names
BLOCKS = 3  # methods on a page, as many as are no taller than a paper's column

_LINE = 8  # points


def draw(examples: Sequence[Examples], attack: Attack | None) -> "list[Figure]":
    """Pages of a few methods each, one data set after the other, under one attack.

    Transfers are left out where there is anything else, and of several seeds the first is shown.
    There are no pages where the attack is None or there are no examples of it.
    """
    of_attack = [
        one
        for one in examples
        if len(one.label) and Attack(one.labels.attack, one.norm, one.eps) == attack
    ]
    in_domain = [one for one in of_attack if one.labels.source == one.labels.target]
    sets: dict[tuple[str, str], dict[tuple[str, ...], Examples]] = defaultdict(dict)
    for one in in_domain or of_attack:
        labels = one.labels
        names = (labels.method, labels.encoder, labels.probe)
        sets[labels.source, labels.target].setdefault(names, one)
    shown = [
        list(sets[pair].values())
        for pair in sorted(sets, key=lambda pair: tuple(map(natural, pair)))
    ]
    return [
        _draw_page(page[start : start + BLOCKS])
        for page in shown
        for start in range(0, len(page), BLOCKS)
    ]


def magnification(change: npt.NDArray[np.float32]) -> float:
    """The factor, to two digits, that stretches the largest change to half the pixel range."""
    largest = float(np.abs(change).max())
    return float(f"{0.5 / largest:.2g}") if largest > 0 else 1.0


def _draw_page(page: Sequence[Examples]) -> "Figure":
    from matplotlib.figure import Figure

    lines = max(_lines(name).count("\n") + 1 for one in page for name in _names(one))
    height = 3 * (style.WIDTH / ACROSS - 0.09) + 0.3 + 0.33 * lines
    figure = Figure(figsize=(style.WIDTH, len(page) * height))
    figure.set_layout_engine("compressed", h_pad=0.02, w_pad=0.02)
    grid = figure.subplots(3 * len(page), ACROSS, squeeze=False)
    for place, one in enumerate(page):
        _draw_block(grid[3 * place : 3 * place + 3], one, lines)
    return figure


def _draw_block(grid: "npt.NDArray[np.object_]", one: Examples, lines: int) -> None:
    """One method: a row of clean images, of attacked ones, and of the change.

    Names of classes are up to ``lines`` lines tall.
    """
    shown = min(ACROSS, len(one.label))
    change = one.attacked[:shown] - one.clean[:shown]
    scale = magnification(change)
    rows = (
        ("clean", one.clean, one.clean_prediction),
        (_attack(one), one.attacked, one.attacked_prediction),
        (f"change\n× {scale:g}", 0.5 + scale * change, None),
    )
    for axes, (name, images, predictions) in zip(grid, rows, strict=True):
        axes[0].set_ylabel(name, fontsize=7)
        for axis in axes:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for column in range(shown):
            image = np.clip(images[column], 0, 1).transpose(1, 2, 0)
            axes[column].imshow(image, interpolation="nearest")
            if predictions is not None:
                predicted = int(predictions[column])
                axes[column].set_title(_lines(one.classes[predicted]), fontsize=7, pad=2)
                _frame(axes[column], right=predicted == one.label[column])
    above = 4 + _LINE * lines
    for column in range(shown):
        true = _lines(one.classes[int(one.label[column])])
        _write(grid[0, column], 0.5, above, true, ha="center", color=style.GREY)
    blank = "\n" * (lines + 1)  # it keeps room for the title, which may be wider than an image
    _write(grid[0, 0], -0.12, above, f"{blank}true", ha="right", color=style.GREY)
    title = f"{one.labels.method}, {style.transfer_label(one.labels.source, one.labels.target)}"
    written = _write(grid[0, 0], -0.5, above + _LINE * lines + 3, style.label(title), ha="left")
    written.set(weight="bold", in_layout=False)


def _write(
    axis: "Axes", x: float, above: float, text: str, ha: str, color: str = "black"
) -> "Annotation":
    """Write text ``above`` an image by that many points, at the fraction ``x`` of its width."""
    return axis.annotate(
        text,
        (x, 1),
        (0, above),
        xycoords="axes fraction",
        textcoords="offset points",
        ha=ha,
        va="bottom",
        color=color,
        fontsize=7,
        linespacing=0.95,
        annotation_clip=False,
    )


def _frame(axis: "Axes", *, right: bool) -> None:
    """Mark whether the prediction is right, by a sign and a line's dashes as well as by colour."""
    colour = style.CORRECT if right else style.WRONG
    axis.spines[:].set(visible=True, color=colour, linewidth=1.2, linestyle="-" if right else "--")
    axis.text(
        0.955,
        0.045,
        "✓" if right else "✗",
        transform=axis.transAxes,
        ha="right",
        va="bottom",
        color=colour,
        fontsize=7,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
    )


def _attack(one: Examples) -> str:
    size = one.eps if one.norm in ("", "linf") else f"{one.norm} {one.eps}"
    return f"{style.label(one.labels.attack, 14)}\n{size}".strip()


def _names(one: Examples) -> list[str]:
    shown = [one.label, one.clean_prediction, one.attacked_prediction]
    return [one.classes[int(label)] for labels in shown for label in labels[:ACROSS]]


def _lines(name: str) -> str:
    """A class's name in one line or two that fit above an image."""
    words = name.replace("_", " ").split() or [""]
    if len(words) == 1 or len(" ".join(words)) < 10:
        return style.label(" ".join(words), 11)
    return "\n".join(style.label(line, 10) for line in (words[0], " ".join(words[1:])) if line)
