"""Draw the rooms of the package and the imports between them: ``python docs/rooms.py``.

Writes ``docs/rooms.svg`` and prints the same in words. A room is a module or package right under
``robench``; its floor is one above the highest room that it imports.
"""

from collections import defaultdict
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import grimp
import matplotlib.pyplot as plt

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "robench"


def room(module: str) -> str:
    """The part of a module's name after ``robench.``, or the package itself."""
    return module.split(".")[1] if "." in module else module


def lines(name: str) -> int:
    """Lines of Python in a room, blank ones counted."""
    if name == "robench":
        files = [PACKAGE / "__init__.py"]
    else:
        files = [*(PACKAGE / name).rglob("*.py"), *PACKAGE.glob(f"{name}.py")]
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def arrows() -> dict[str, set[str]]:
    """For each room, the rooms that it imports, lazily or not."""
    graph = grimp.build_graph("robench")
    found: dict[str, set[str]] = {room(module): set() for module in graph.modules}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if room(imported) not in (room(module), "robench"):
                found[room(module)].add(room(imported))
    return found


def floors(below: dict[str, set[str]]) -> dict[int, list[str]]:
    """Rooms by floor, from the ground up. Raises RecursionError where imports form a circle."""

    @cache
    def floor(name: str) -> int:
        return max((floor(other) + 1 for other in below[name]), default=0)

    house = defaultdict(list)
    for name in sorted(below):
        house[floor(name)].append(name)
    return dict(sorted(house.items()))


def draw(below: dict[str, set[str]], house: dict[int, list[str]], file: Path | BytesIO) -> None:
    """Draw one row of boxes for each floor and an arrow for each import."""
    plt.rcParams["svg.hashsalt"] = "rooms"
    figure, axes = plt.subplots(figsize=(10, 1.0 * len(house) + 1))
    at = {
        name: ((place + 1) / (len(names) + 1), level)
        for level, names in house.items()
        for place, name in enumerate(names)
    }
    for name, others in below.items():
        for other in others:
            (x, y), (below_x, below_y) = at[name], at[other]
            style = {"arrowstyle": "->", "color": "0.6", "lw": 0.6, "shrinkA": 12, "shrinkB": 12}
            axes.annotate("", (below_x, below_y), (x, y), arrowprops=style)
    for name, (x, y) in at.items():
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "0.2"}
        axes.text(x, y, f"{name}\n{lines(name):,}", ha="center", va="center", size=8, bbox=box)
    axes.set(xlim=(0, 1), ylim=(-0.5, len(house) - 0.5))
    axes.axis("off")
    figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    below = arrows()
    house = floors(below)
    for level, names in reversed(house.items()):
        print(f"floor {level}: {', '.join(f'{name} {lines(name):,}' for name in names)}")
    loose = [name for name in below if (PACKAGE / f"{name}.py").exists()]
    count = sum(map(len, below.values()))
    total = sum(map(lines, below))
    assert all(low < high for low, high in pairwise(house))
    print(f"{len(below)} rooms, {count} arrows, {len(loose)} loose modules, {total:,} lines")
    draw(below, house, DOCS / "rooms.svg")
