"""Attacked images to look at: clean, attacked, and the change between them, magnified."""

import textwrap
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robench.grid.records import Pictures, Result
from robench.report.figures import style
from robench.report.figures.points import Attack

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

ACROSS = 5  # images side by side, as many as leave room for their classes' names
BLOCKS = 3  # methods on a page, as many as are no taller than a paper's column

_LINE = 8  # points


def draw(results: Sequence[Result], attack: Attack | None) -> "list[Figure]":
    """Pages of a few methods each, one data set after the other, under one attack.

    Transfers are left out where there is anything else, and of several seeds the first is shown.
    There are no pages where the attack is None or no pictures of it were kept.
    """
    of_attack = [
        one
        for one in results
        if one.pictures and Attack(one.labels.attack, one.norm, one.eps) == attack
    ]
    in_domain = [one for one in of_attack if one.labels.source == one.labels.target]
    sets: dict[tuple[str, str], dict[tuple[str, ...], Result]] = defaultdict(dict)
    for one in in_domain or of_attack:
        labels = one.labels
        names = (labels.method, labels.encoder, labels.probe)
        sets[labels.source, labels.target].setdefault(names, one)
    return [
        _draw_page(list(of_set.values())[start : start + BLOCKS])
        for of_set in sets.values()
        for start in range(0, len(of_set), BLOCKS)
    ]


def magnification(change: npt.NDArray[np.float32]) -> float:
    """The factor, to two digits, that stretches the largest change to half the pixel range."""
    largest = float(np.abs(change).max())
    return float(f"{0.5 / largest:.2g}") if largest > 0 else 1.0


def _draw_page(page: "Sequence[Result]") -> "Figure":
    from matplotlib.figure import Figure

    lines = max(_lines(name).count("\n") + 1 for one in page for name in _pictures(one).classes)
    height = 3 * (style.WIDTH / ACROSS - 0.09) + 0.3 + 0.33 * lines
    figure = Figure(figsize=(style.WIDTH, len(page) * height))
    figure.set_layout_engine("compressed", h_pad=0.02, w_pad=0.02)
    grid = figure.subplots(3 * len(page), ACROSS, squeeze=False)
    for place, one in enumerate(page):
        _draw_block(grid[3 * place : 3 * place + 3], one, lines)
    return figure


def _pictures(one: Result) -> Pictures:
    assert one.pictures is not None
    return one.pictures


def _draw_block(grid: "npt.NDArray[np.object_]", one: Result, lines: int) -> None:
    """One method: a row of clean images, of attacked ones, and of the change.

    Names of classes are up to ``lines`` lines tall.
    """
    pictures, outcome = _pictures(one), one.outcome
    names = [_lines(name) for name in pictures.classes]
    change = (pictures.attacked - pictures.clean)[:ACROSS]
    scale = magnification(change)
    size = one.eps if one.norm in ("", "linf") else f"{one.norm} {one.eps}"
    attack = f"{style.label(one.labels.attack, 14)}\n{size}".strip()
    rows = (
        ("clean", pictures.clean, outcome.clean_prediction),
        (attack, pictures.attacked, outcome.prediction),
        (f"change\n× {scale:g}", 0.5 + scale * change, None),
    )
    for axes, (name, images, predictions) in zip(grid, rows, strict=True):
        axes[0].set_ylabel(name, fontsize=7)
        for axis in axes:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for column, axis in enumerate(axes[: len(change)]):
            image = np.clip(images[column], 0, 1).transpose(1, 2, 0)
            axis.imshow(image, interpolation="nearest")
            if predictions is not None:
                axis.set_title(names[predictions[column]], fontsize=7, pad=2)
                _frame(axis, right=predictions[column] == outcome.label[column])
    above = 4 + _LINE * lines
    for axis, label in zip(grid[0][: len(change)], outcome.label, strict=False):
        _write(axis, 0.5, above, names[label], ha="center", color=style.GREY)
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


def _lines(name: str) -> str:
    """A class's name in one line or two that fit above an image."""
    words = name.replace("_", " ")
    return "\n".join(textwrap.wrap(words, 11, max_lines=2, placeholder=" …"))
