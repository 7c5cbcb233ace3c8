"""Attacked images to look at: clean, attacked, and the change between them, magnified."""

import textwrap
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from robench.grid.records import Pictures, Result
from robench.report.figures import style
from robench.report.figures.points import MOST, SHOWN, Attack, heading

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

ACROSS = 5  # images side by side, as many as leave room for their classes' names
BLOCKS = 3  # methods on a page, as many as are no taller than a paper's column


class Example(NamedTuple):
    """A result with its pictures."""

    result: Result
    pictures: Pictures


def draw(results: Sequence[Result], attack: Attack | None) -> "list[Figure]":
    """Pages of a few methods each, one data set after the other, under one attack.

    Images that were right and are fooled are shown, else those that were right, else any. Of more
    than `MOST` methods, the first have pages.

    Transfers are left out where there is anything else, and of several seeds the first is shown.
    There are no pages where the attack is None or no pictures of it were kept.
    """
    of_attack = [one for one in results if Attack(one.labels.attack, one.norm, one.eps) == attack]
    in_domain = [one for one in of_attack if one.labels.domain == one.labels.target]
    sets: dict[tuple[str, str], dict[tuple[str, ...], Example]] = defaultdict(dict)
    for one in in_domain or of_attack:
        labels = one.labels
        names = (labels.method, labels.encoder, labels.probe)
        of_set = sets[labels.domain, labels.target]
        if names not in of_set and len(of_set) < MOST and (pictures := one.pictures):
            of_set[names] = Example(one, pictures)
    return [
        _draw_page(list(of_set.values())[start : start + BLOCKS])
        for of_set in sets.values()
        for start in range(0, len(of_set), BLOCKS)
    ]


def magnification(change: npt.NDArray[np.float32]) -> float:
    """The factor, to two digits, that stretches the largest change to half the pixel range."""
    largest = float(np.abs(change).max())
    return float(f"{0.5 / largest:.2g}") if largest > 0 else 1.0


def _draw_page(page: Sequence[Example]) -> "Figure":
    from matplotlib.figure import Figure

    shown = [_chosen(one) for one in page]
    across = min(ACROSS, max(4, *map(len, shown)))
    height = 0.9 + 3 * 2.4 / across
    heights = [height] * (len(page) - 1) + [height + 0.3]  # the last has the rule below
    figure = Figure(figsize=(style.WIDTH, sum(heights)))
    blocks = figure.subfigures(len(page), squeeze=False, height_ratios=heights)
    for block, one, chosen in zip(blocks.flat, page, shown, strict=True):
        _draw_block(block, one, chosen, across)
    first = page[0].result
    attack = heading(Attack(first.labels.attack, first.norm, first.eps))
    block.supxlabel(f"{style.label(attack)}\n{SHOWN}", fontsize=7)
    return figure


def _chosen(one: Example) -> npt.NDArray[np.int64]:
    """The places of the images to show."""
    outcome, kept = one.result.outcome, slice(len(one.pictures.clean))
    right = outcome.clean_prediction[kept] == outcome.label[kept]
    fooled = right & (outcome.prediction[kept] != outcome.label[kept])
    shown = next((these for these in (fooled, right) if these.any()), ~right)
    return np.flatnonzero(shown)[:ACROSS]


def _draw_block(
    block: "SubFigure", one: Example, chosen: npt.NDArray[np.int64], across: int
) -> None:
    """One method: a row of clean images, of attacked ones, and of the change."""
    labels, outcome, pictures = one.result.labels, one.result.outcome, one.pictures
    title = f"{style.label(labels.method)}, {style.transfer_label(labels.domain, labels.target)}"
    block.suptitle(title, fontsize=7.5, weight="bold")
    change = pictures.attacked - pictures.clean
    scale = magnification(change)
    rows = (
        ("clean", pictures.clean, outcome.clean_prediction),
        (style.label(labels.attack, 14), pictures.attacked, outcome.prediction),
        (f"change\n× {scale:g}", 0.5 + scale * change, None),
    )
    grid = block.subplots(3, across, squeeze=False)
    for axes, (name, images, predictions) in zip(grid, rows, strict=True):
        axes[0].set_ylabel(name.strip(), fontsize=7)
        for axis in axes:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for place, axis in zip(chosen, axes, strict=False):
            image = np.clip(images[place], 0, 1).transpose(1, 2, 0)
            axis.imshow(image, interpolation="nearest")
            true = outcome.label[place]
            if predictions is None:
                axis.set_xlabel(f"true:\n{_short(pictures.classes[true])}", fontsize=7)
                continue
            found = predictions[place]
            sign, colour = ("✓", style.CORRECT) if found == true else ("✗", style.WRONG)
            found_name = _short(pictures.classes[found])
            axis.set_title(f"{sign} {found_name}", fontsize=7, pad=2, color=colour)


def _short(name: str) -> str:
    """A class's name in one line or two that fit above an image."""
    words = name.replace("_", " ")
    return "\n".join(textwrap.wrap(words, 10, max_lines=2, placeholder=" …"))
