"""The table of a paper: methods down, clean and attacked accuracy across."""

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import inf, sqrt
from statistics import median
from typing import NamedTuple

from robench.grid.records import Labels, Result
from robench.report.names import NORMS, proper
from robench.report.ranking import Seeds, rank_column
from robench.report.results import Order, radius
from robench.report.table import Note, Row, Table, attack_heads, attack_names, images_of, number
from robench.trust.statistics import wilson


class Column(NamedTuple):
    """An attack; ``n`` is the number of images where those of one data set differ, else 0."""

    attack: str
    norm: str
    eps: str
    n: int


Places = Mapping[tuple[Labels, Column], Seeds]
"""The results at each place of the table; the labels have no attack."""


def pivot(results: Iterable[Result], *, scale: str, order: Order | None = None) -> Table:
    """Methods down, clean and attacked accuracy across, averaged over seeds.

    The numbers of each source, target and column are ranked (`robench.report.ranking`).
    """
    order, results = order or Order(), list(results)
    sizes = defaultdict[str, set[int]](set)
    for one in results:
        sizes[one.labels.target].add(one.n)
    places: dict[tuple[Labels, Column], dict[int, Result]] = defaultdict(dict)
    for one in results:
        n = one.n if len(sizes[one.labels.target]) > 1 else 0
        column = Column(one.labels.attack, one.norm, one.eps, n)
        places[dataclasses.replace(one.labels, attack=""), column][one.seed] = one
    columns = sorted({one for _, one in places}, key=lambda one: (order.attack(*one[:3]), one.n))
    lines = sorted({line for line, _ in places}, key=order.row)
    named = {line: _names(line) for line in lines}
    shown = [
        one for one in _HEADINGS if one == "method" or len({n[one] for n in named.values()}) > 1
    ]
    alike = {one: named[lines[0]][one] for one in _HEADINGS if one not in shown}
    groups = []
    for _, of_pair in groupby(lines, key=lambda line: (line.domain, line.target)):
        group = list(of_pair)
        numbers = []
        for column in columns:
            tried = {line: places[line, column] for line in group if (line, column) in places}
            standings = rank_column(tried)
            numbers.append(
                {line: number(tried[line].values(), standings.get(line)) for line in tried}
            )
        rows = (
            Row(tuple(named[line][one] for one in shown), tuple(each.get(line) for each in numbers))
            for line in group
        )
        groups.append(tuple(rows))
    heads = attack_heads(one[:3] for one in columns)
    sizes_said = [f" (n = {column.n})" if column.n else "" for column in columns]
    table = Table(
        _caption(places.values(), alike, scale),
        tuple(shown),
        tuple((ball or name) + n for (name, ball), n in zip(heads, sizes_said, strict=True)),
        tuple(groups),
        above=tuple(name if ball else "" for name, ball in heads),
    )
    notes = (*_fewer_seeds(places), *_controls(places, lines, table))
    return dataclasses.replace(table, notes=tuple(Note("", note) for note in notes))


_HEADINGS = ("source → target", "method", "encoder", "probe")


def _names(line: Labels) -> dict[str, str]:
    values = (f"{line.source} → {line.target}", line.method, line.encoder, line.probe)
    return dict(zip(_HEADINGS, map(proper, values), strict=True))


# --- words around the numbers


def _caption(places: Collection[Seeds], alike: Mapping[str, str], scale: str) -> str:
    """The measurement, on what, its spread or intervals, and the scale.

    ``alike`` are the headings of what is the same in all rows, with its name.
    """
    results = [result for seeds in places for result in seeds.values()]
    seeds = sorted({result.seed for result in results})
    over = f"seed {', '.join(map(str, seeds))}"
    if any(len(own) > 1 for own in places):
        over = f"mean ± standard deviation over {len(seeds)} seeds ({', '.join(map(str, seeds))})"
    intervals = [
        wilson(one.correct, one.n) for own in places for one in own.values() if len(own) == 1
    ]
    half = [50 * (interval.high - interval.low) for interval in intervals]
    norms = {one.norm for one in results} - {""}
    ball = f"radius ε in {NORMS.get(*norms, *norms)}" if len(norms) == 1 else "norm and radius ε"
    of = [f"{name} probe" if one == "probe" else name for one, name in alike.items()]
    sentences = [
        f"Clean{' and robust' * bool(norms)} accuracy (%): "
        + ", ".join([*of, f"{images_of(results)} test images", over]),
        f"Columns are attacks with their {ball}" if norms else "",
        ""
        if _HEADINGS[0] in alike
        else "A → B: encoder trained on A, probe fitted and attacked on B",
        f"95% Wilson intervals of numbers of one seed: half width {median(half):.1f} points "
        f"(median), at most {max(half):.1f}"
        if half
        else "",
        f"Scale: {scale}",
    ]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _fewer_seeds(places: Places) -> Iterator[str]:
    """The methods with numbers of fewer seeds than others have, in a line."""
    every = {seed for seeds in places.values() for seed in seeds}
    fewer = defaultdict[tuple[int, ...], dict[str, None]](dict)
    for (line, _), seeds in sorted(places.items(), key=lambda place: sorted(place[1])):
        if len(seeds) < len(every):
            fewer[tuple(sorted(seeds))][proper(line.method)] = None
    if fewer:
        numbers = (f"{', '.join(map(str, own))}: {', '.join(sorted(fewer[own]))}" for own in fewer)
        yield f"Some numbers are of fewer seeds ({'; '.join(numbers)})."


def _controls(places: Places, lines: Sequence[Labels], table: Table) -> Iterator[str]:
    """The controls that should fall to 0 and did not."""
    names = {line: ", ".join(row.names) for line, row in zip(lines, table.rows, strict=True)}
    of_target = {line.target: one for (line, _), seeds in places.items() for one in seeds.values()}
    pixels = {target: _pixels(one) for target, one in of_target.items()}
    left = [
        f"{names[line]} under {attack_names([column[:3]])[0]}"
        for (line, column), seeds in places.items()
        if any(one.correct and is_control(one, pixels[line.target]) for one in seeds.values())
    ]
    if left:
        yield (
            "Control failed: at such a radius every image can be made the same plain grey one, so "
            f"that 0 should be left, and is not for {'; '.join(left)}."
        )


def _pixels(one: Result) -> float:
    """The number of values of an image, infinite where it is not known."""
    return inf if one.pictures is None else one.pictures.clean[0].size


def is_control(one: Result, pixels: float) -> bool:
    """Whether an attack's ball is so large that plain grey is in the ball of every image."""
    least = {"linf": 0.5, "l2": 0.5 * sqrt(pixels), "l1": 0.5 * pixels}
    return radius(one.eps) >= least.get(one.norm, inf)
