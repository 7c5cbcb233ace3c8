"""What the attacks do to images: clean, attacked, and the change between them, magnified."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robench.grid.records import Examples, Labels
from robench.report.figures import style
from robench.report.figures.picture import Picture
from robench.report.figures.points import Asked
from robench.report.results import natural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 5  # images side by side, as many as leave room for their classes' names
BLOCKS = 3  # methods on a page, as many as are no taller than a paper's column

# Inches.
_MARGIN = 0.34
_GAP = 0.035
_SIDE = (style.WIDTH - _MARGIN) / ACROSS - _GAP
_LINE = 0.115
_TITLE = 0.19


def pictures(examples: Sequence[Examples], attack: Asked | None) -> list[Picture]:
    """Pages of a few methods each, one data set after the other, under one attack.

    Transfers are left out where there is anything else, and of several seeds one is shown. There
    are no pages where the attack is None or there are no examples of it.
    """
    of_attack = [one for one in examples if len(one.label) and _asked(one) == attack]
    in_domain = [one for one in of_attack if one.labels.source == one.labels.target]
    # Seeds are not told apart here; the order by content picks the same one every time.
    by_labels = {one.labels: one for one in sorted(in_domain or of_attack, key=_digest)}
    sets: dict[tuple[str, str], list[Examples]] = defaultdict(list)
    for labels in sorted(by_labels, key=_order):
        sets[labels.source, labels.target].append(by_labels[labels])
    pages = [
        shown[start : start + BLOCKS]
        for shown in sets.values()
        for start in range(0, len(shown), BLOCKS)
    ]
    return [
        Picture(
            "examples" if place == 1 else f"examples_{place}",
            b"".join(map(_digest, page)),
            partial(_draw, page),
        )
        for place, page in enumerate(pages, start=1)
    ]


def magnification(change: npt.NDArray[np.float32]) -> float:
    """The factor, to two digits, that stretches the largest change to half the pixel range."""
    largest = float(np.abs(change).max())
    return float(f"{0.5 / largest:.2g}") if largest > 0 else 1.0


def _asked(one: Examples) -> Asked:
    return Asked(one.labels.attack, one.norm, one.eps)


def _order(labels: Labels) -> tuple[object, ...]:
    names = (labels.source, labels.target, labels.method, labels.encoder, labels.probe)
    return tuple(natural(name) for name in names)


def _digest(one: Examples) -> bytes:
    digest = hashlib.sha256(repr((one.labels, one.norm, one.eps, one.classes)).encode())
    arrays = (one.label, one.clean, one.attacked, one.clean_prediction, one.attacked_prediction)
    for array in arrays:
        digest.update(np.ascontiguousarray(array[:ACROSS]).tobytes())
    return digest.digest()


def _draw(page: list[Examples]) -> "Figure":
    from matplotlib.figure import Figure

    named = [_lines(one.classes[int(c)]) for one in page for c in _classes_named(one)]
    line = _LINE * max(name.count("\n") + 1 for name in named)
    block = _TITLE + 3 * line + 3 * _SIDE + 5 * _GAP + 0.08
    figure = Figure(figsize=(style.WIDTH, block * len(page)))
    figure.set_layout_engine("none")
    for place, one in enumerate(page):
        _draw_block(figure, one, block * (len(page) - place), line)
    return figure


def _draw_block(figure: "Figure", one: Examples, top: float, line: float) -> None:
    """One method's images, downwards from ``top`` inches; a class name is ``line`` inches tall."""
    shown = slice(min(ACROSS, len(one.label)))
    change = one.attacked[shown] - one.clean[shown]
    scale = magnification(change)
    _write(figure, 0.03, top - _TITLE / 2, _title(one), ha="left", va="center", weight="bold")
    top -= _TITLE + line
    _write(figure, _MARGIN - 0.05, top, "true", ha="right", color=style.GREY)
    for column, label in enumerate(one.label[shown]):
        _write(figure, _centre(column), top, _lines(one.classes[int(label)]), color=style.GREY)
    for name, images, predictions in (
        ("clean", one.clean, one.clean_prediction),
        (_attack(one), one.attacked, one.attacked_prediction),
    ):
        top -= line + _SIDE + 2 * _GAP
        _write(figure, _MARGIN - 0.05, top + _SIDE / 2, name, ha="right", va="center", rotation=90)
        for column, (image, prediction) in enumerate(
            zip(images[shown], predictions[shown], strict=True)
        ):
            axis = _show(figure, column, top, image)
            _frame(axis, right=bool(prediction == one.label[column]))
            name_of_class = _lines(one.classes[int(prediction)])
            _write(figure, _centre(column), top + _SIDE + 0.035, name_of_class)
    top -= _SIDE + _GAP
    name = f"change\n× {scale:g}"
    _write(figure, _MARGIN - 0.05, top + _SIDE / 2, name, ha="right", va="center", rotation=90)
    for column, difference in enumerate(change):
        _show(figure, column, top, 0.5 + scale * difference).set_axis_off()


def _show(figure: "Figure", column: int, bottom: float, image: npt.NDArray[np.floating]) -> "Axes":
    width, height = figure.get_size_inches()
    left = _centre(column) - _SIDE / 2
    axis = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
    axis.imshow(np.clip(image, 0, 1).transpose(1, 2, 0), interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    return axis


def _frame(axis: "Axes", *, right: bool) -> None:
    """Says whether the prediction is right, by a sign and a line's dashes as well as by colour."""
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


def _write(
    figure: "Figure",
    left: float,
    bottom: float,
    text: str,
    *,
    ha: str = "center",
    va: str = "baseline",
    rotation: float = 0,
    color: str = "black",
    weight: str = "normal",
) -> None:
    """Write text at a place in inches; ``bottom`` is the baseline of the last line."""
    width, height = figure.get_size_inches()
    figure.text(
        left / width,
        bottom / height,
        text,
        ha=ha,
        va=va,
        rotation=rotation,
        color=color,
        weight=weight,
        fontsize=7,
        linespacing=0.95,
        multialignment="center",
    )


def _centre(column: int) -> float:
    return _MARGIN + column * (_SIDE + _GAP) + _SIDE / 2


def _title(one: Examples) -> str:
    labels = one.labels
    data = labels.source if labels.source == labels.target else f"{labels.source} → {labels.target}"
    return style.label(f"{labels.method}, {data}")


def _attack(one: Examples) -> str:
    size = one.eps if one.norm in ("", "linf") else f"{one.norm} {one.eps}"
    return f"{style.label(one.labels.attack, 14)}\n{size}".strip()


def _classes_named(one: Examples) -> list[int]:
    return [
        int(label)
        for labels in (one.label, one.clean_prediction, one.attacked_prediction)
        for label in labels[:ACROSS]
    ]


def _lines(name: str) -> str:
    """A class's name in one line or two that fit above an image."""
    words = name.replace("_", " ").split() or [""]
    if len(words) == 1 or len(" ".join(words)) < 10:
        return style.label(" ".join(words), 11)
    return "\n".join(style.label(line, 10) for line in (words[0], " ".join(words[1:])) if line)
