"""Small pictures of objects, drawn with numpy: a class is an outline, a material and a ground.

What a class fixes comes in two strengths, as in photographs: strong and smooth (outline, coarse
pattern, colours) and faint and fine, a grain a few grey levels high. A classifier may rely on both;
an attacker who may change each pixel by those few levels can rewrite only the second. All else
varies from picture to picture: pose, light, shades, where the patterns start, clutter, noise.

Legend: n pictures, S pixels a side; positions run over -1..1; a field is one number a pixel,
[n, S, S], and a scene one colour in 0..1, [n, 3, S, S].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from robench.contracts import Data, Dataset, Progress, Split

Array = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]

_WAVES = 6  # as many as the most directions of a material
_AT_ONCE = 500  # pictures; their fields stay in the processor's cache
_ANY = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0)


@dataclass(frozen=True)
class Material:
    """A colour and a pattern: waves of ``cycles`` from edge to edge, along ``angles`` in degrees.

    ``hue`` is 0..1 around the circle. ``spread`` is how far each wave strays from the pattern: its
    angle in radians, its frequency as a fraction.
    """

    hue: float
    cycles: float
    angles: tuple[float, ...]
    spread: float = 0.1


MATERIALS = {
    "striped": Material(0.00, 3.5, (0,)),
    "banded": Material(0.27, 3.5, (90,)),
    "hatched": Material(0.55, 3.5, (45,)),
    "checked": Material(0.82, 3.0, (0, 90)),
    "quilted": Material(0.09, 3.0, (45, 135)),
    "dotted": Material(0.36, 3.5, (0, 60, 120)),
    "ribbed": Material(0.64, 1.8, (0,)),
    "layered": Material(0.91, 1.8, (90,)),
    "slanted": Material(0.18, 1.8, (45,)),
    "mottled": Material(0.45, 2.0, _ANY, 0.3),
    "grainy": Material(0.73, 4.5, _ANY, 0.2),
}

# How far inside it the points (across, down) lie, about in its own radii; negative outside.
OUTLINES: dict[str, Callable[[Array, Array], Array]] = {
    "disk": lambda x, y: 0.9 - np.hypot(x, y),
    "square": lambda x, y: 0.8 - np.maximum(abs(x), abs(y)),
    "triangle": lambda x, y: np.minimum(0.7 - y, 0.55 + 0.45 * y - 0.9 * abs(x)),
    "star": lambda x, y: 0.7 + 0.35 * np.cos(5 * np.arctan2(x, -y)) - np.hypot(x, y),
    "cross": lambda x, y: 0.3 - np.maximum(np.minimum(abs(x), abs(y)), np.hypot(x, y) - 0.8),
    "ring": lambda x, y: 0.28 - abs(np.hypot(x, y) - 0.75),
    "crescent": lambda x, y: np.minimum(1 - np.hypot(x, y), np.hypot(x, y + 0.55) - 0.75),
    "bar": lambda x, y: np.minimum(0.4 - abs(x), 1.2 - abs(y)),
    "pair": lambda x, y: 0.5 - np.hypot(abs(x) - 0.6, y),
    "hourglass": lambda x, y: np.minimum(0.9 - abs(y), 0.1 + 0.8 * abs(y) - abs(x)),
}

GROUNDS = {
    "disk": Material(0.40, 2.5, (90,)),
    "square": Material(0.10, 2.0, _ANY, 0.3),
    "triangle": Material(0.70, 2.5, (0,)),
    "star": Material(0.20, 2.5, (45, 135)),
    "cross": Material(0.90, 2.5, (45,)),
    "ring": Material(0.60, 1.2, (90,)),
    "crescent": Material(0.00, 2.5, (0, 90)),
    "bar": Material(0.30, 4.0, _ANY, 0.2),
    "pair": Material(0.80, 1.2, (0,)),
    "hourglass": Material(0.50, 3.5, (90,), 0.3),
}


class Kind(NamedTuple):
    """A class: one of ``MATERIALS`` in one of ``OUTLINES``, on that outline's ground."""

    material: str
    outline: str

    def __str__(self) -> str:
        return f"{self.material} {self.outline}"


@dataclass(frozen=True)
class Drawn(Dataset):
    """Drawn pictures, the same in every load: subclasses choose the kinds, and the draw.

    ``counts`` are the pictures to train on, to hold out and to test on. Raises ValueError for a
    ``size`` too small to show a pattern, or too large to draw in seconds.
    """

    kinds: ClassVar[Sequence[Kind]]
    seed: ClassVar[int]
    counts: ClassVar[tuple[int, int, int]]

    size: int = 16

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 64:
            raise ValueError(f"size={self.size}: drawn pictures are 8 to 64 pixels a side")

    def files(self, root: Path) -> Sequence[Path]:
        return ()

    def load(self, root: Path, progress: Progress) -> Data:
        return make(self.kinds, self.size, self.seed, self.counts)


def make(kinds: Sequence[Kind], size: int, seed: int, counts: tuple[int, int, int]) -> Data:
    """Draw a data set of ``size`` by ``size`` pixels, with so many pictures in each part."""
    train, held_out, test = (
        split(kinds, count, size, np.random.default_rng([seed, part]))
        for part, count in enumerate(counts)
    )
    return Data(train, held_out, test, tuple(map(str, kinds)))


def split(kinds: Sequence[Kind], count: int, size: int, rng: Generator) -> Split:
    """Draw ``count`` pictures, each class as often where their number divides ``count``."""
    labels = rng.permutation(np.arange(count, dtype=np.int64) % len(kinds))
    images = [
        draw([kinds[label] for label in labels[start : start + _AT_ONCE]], size, rng)
        for start in range(0, count, _AT_ONCE)
    ]
    return Split(np.concatenate(images), labels)


def draw(kinds: Sequence[Kind], size: int, rng: Generator) -> npt.NDArray[np.uint8]:
    """Draw one picture of each kind: uint8 [n, 3, S, S]."""
    n = len(kinds)
    x, y = pixels(size)
    u, v = pose(x, y, n, rng)
    scene = surface([GROUNDS[kind.outline] for kind in kinds], 0.6, x, y, rng)
    scene = clutter(scene, x, y, rng)
    materials = [MATERIALS[kind.material] for kind in kinds]
    shape = silhouette([kind.outline for kind in kinds], u, v)
    scene = blend(scene, surface(materials, 2.0, u, v, rng), shape)
    scene = light(scene, x, y, rng)
    faint = uniform(rng, n, 5 / 255, 12 / 255)  # the object's pattern, finer, all over the scene
    scene = scene + (waves(materials, 1.8, x, y, rng) * faint)[:, None]
    noise = rng.standard_normal(scene.shape, np.float32)
    scene = scene + np.float32(3 / 255) * noise  # a sensor's, three grey levels
    return np.round(255 * scene.clip(0, 1)).astype(np.uint8)


def pixels(size: int) -> tuple[Array, Array]:
    """Return the positions of the pixels' centres, across and down: [1, S, S] each."""
    centres = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    x, y = np.meshgrid(centres, centres)
    return x[None], y[None]


def pose(x: Array, y: Array, n: int, rng: Generator) -> tuple[Array, Array]:
    """The points as each object sees them: its place, size, proportions and slight turn undone."""
    x, y = x - uniform(rng, n, -0.2, 0.2), y - uniform(rng, n, -0.2, 0.2)
    turn, radius, stretch = (
        uniform(rng, n, *among) for among in ((-0.2, 0.2), (0.7, 1.05), (0.85, 1.15))
    )
    across, down = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return across / (radius * stretch), down * stretch / radius


def silhouette(names: Sequence[str], u: Array, v: Array) -> Array:
    """Return the share of each pixel that the object covers: a field in 0..1."""
    inside = np.empty_like(u)
    for name, outline in OUTLINES.items():
        rows = np.array(names) == name
        inside[rows] = outline(u[rows], v[rows])
    return cover(inside)


def surface(
    materials: Sequence[Material], depth: float, x: Array, y: Array, rng: Generator
) -> Array:
    """A scene full of each material: its pattern, from shade to shade, sharper with ``depth``."""
    dark, bright = palette(np.array([m.hue for m in materials]), rng)
    pattern = waves(materials, 1.0, x, y, rng)
    return blend(dark, bright, 0.5 + 0.5 * np.tanh(depth * pattern))


def waves(materials: Sequence[Material], finer: float, x: Array, y: Array, rng: Generator) -> Array:
    """Each material's pattern, ``finer`` times as fine: a field of variance about one."""
    n = len(materials)
    cycles = each([finer * m.cycles for m in materials]) * uniform(rng, n, 0.85, 1.18)
    spread = each([m.spread for m in materials])
    total = np.zeros((n, *x.shape[1:]), np.float32)
    for k in range(_WAVES):
        angle = each([np.deg2rad(m.angles[k % len(m.angles)]) for m in materials])
        angle = angle + spread * normal(rng, n)
        rate = np.pi * cycles * (1 + spread * normal(rng, n))
        along = np.cos(angle) * x + np.sin(angle) * y
        total += np.cos(rate * along + uniform(rng, n, 0, 2 * np.pi))
    scaled: Array = total / (total.std((1, 2), keepdims=True) + np.float32(0.05))
    return scaled


def palette(hues: Doubles, rng: Generator) -> tuple[Array, Array]:
    """A dark and a bright shade near each hue, as scenes of one colour: [n, 3, 1, 1] each."""
    n = len(hues)
    hues = hues + rng.normal(0, 0.13, n)
    return (
        colour(hues, rng.uniform(0.2, 0.8, n), rng.uniform(0.05, 0.45, n)),
        colour(hues + rng.normal(0, 0.1, n), rng.uniform(0.2, 0.8, n), rng.uniform(0.55, 1.0, n)),
    )


def colour(hue: Doubles, saturation: Doubles, value: Doubles) -> Array:
    """Colours by hue (0..1 around the circle), saturation and value (0..1): [n, 3, 1, 1]."""
    lobes = np.cos(2 * np.pi * (hue[:, None] - np.array([0, 1 / 3, 2 / 3])))
    rgb: Array = value[:, None] * (1 - saturation[:, None] * (1 - lobes) / 2)
    return rgb.astype(np.float32).reshape(len(rgb), 3, 1, 1)


def clutter(scene: Array, x: Array, y: Array, rng: Generator) -> Array:
    """The scene with a blob of any colour in it."""
    n = len(scene)
    away = np.hypot(x - uniform(rng, n, -1, 1), y - uniform(rng, n, -1, 1))
    blob = colour(rng.uniform(0, 1, n), rng.uniform(0, 0.8, n), rng.uniform(0.1, 0.9, n))
    return blend(scene, blob, cover(uniform(rng, n, 0.1, 0.4) - away))


def light(scene: Array, x: Array, y: Array, rng: Generator) -> Array:
    """The scene brighter towards one side, under- or overexposed, in more or less contrast."""
    n = len(scene)
    lamp = 1 + uniform(rng, n, -0.3, 0.3) * x + uniform(rng, n, -0.3, 0.3) * y
    contrast, exposure = uniform(rng, n, 0.7, 1.1), uniform(rng, n, 0.38, 0.62)
    return exposure[:, None] + (scene * lamp[:, None] - 0.5) * contrast[:, None]


def blend(below: Array, above: Array, share: Array) -> Array:
    """``above`` over ``below``, where ``share`` is 1, and mixed in between."""
    return below + (above - below) * share[:, None]


def cover(inside: Array) -> Array:
    """The share of each pixel within an edge, from how far inside it the pixel's centre is."""
    return (0.5 + inside * np.float32(inside.shape[-1] / 3)).clip(0, 1)


def uniform(rng: Generator, n: int, low: float, high: float) -> Array:
    return each(rng.uniform(low, high, n))


def normal(rng: Generator, n: int) -> Array:
    return each(rng.standard_normal(n))


def each(numbers: Sequence[float] | Doubles) -> Array:
    """One number a picture, ready to meet fields: [n, 1, 1]."""
    return np.asarray(numbers, np.float32).reshape(-1, 1, 1)
