"""Two methods on the same questions, images and seeds: differences, intervals and p-values."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd

from robench.catalog.scale import Scale
from robench.grid.records import Labels, Result
from robench.grid.spec import SpecError
from robench.report.names import proper
from robench.report.ranking import SIGNIFICANT, TEST, Seeds, corrected, paired
from robench.report.results import Order, latest_last
from robench.report.table import Note, Number, Table, attack_names, flags_of
from robench.report.table import Row as Line
from robench.trust.statistics import (
    RESAMPLES,
    Interval,
    bootstrap,
    exact_mcnemar,
    mean_sd,
    smallest_significant,
)


class Verdict(Enum):
    """The finding of a row, in words."""

    A = "{a} better"
    B = "{b} better"
    NONE = "no difference found"
    FEW = "too few images to tell"


class Question(NamedTuple):
    """Everything that both methods were asked alike, except for the seed."""

    scale: str
    source: str
    target: str
    encoder: str
    probe: str
    attack: str
    norm: str
    eps: str


@dataclass(frozen=True)
class Row:
    """One question to both methods, on the ``n`` images and the seeds that they share.

    ``a`` and ``b`` are accuracies on these images, ``only_a`` and ``only_b`` how often, over images
    and seeds, only the one is right. ``difference`` is a's accuracy less b's, in points, and
    ``interval`` its 95% interval. ``p`` is exact McNemar's, ``p_holm`` the same after Holm's
    correction for all pairs of rows in this column of the table. ``shows`` is the smallest
    difference, in points, that the test could find here. It takes too few images to tell where
    they differ on fewer images than that, or where only the interval leaves out 0.
    """

    question: Question
    seeds: tuple[int, ...]
    n: int
    a: Number
    b: Number
    only_a: int
    only_b: int
    difference: float
    interval: Interval
    p: float
    p_holm: float
    shows: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """Method ``a`` against method ``b``, by their labels.

    ``none_right`` are the questions on which neither has an image right; they have no row.
    ``cells`` were compared, and ``left_out`` counts those of each method that were not.
    """

    a: str
    b: str
    rows: tuple[Row, ...]
    none_right: tuple[Question, ...]
    cells: tuple[Result, ...]
    left_out: tuple[int, int]


def compare(
    results: Iterable[Result],
    a: str,
    b: str,
    scale: Callable[[Result], Scale],
    order: Order | None = None,
) -> Comparison:
    """Compare two methods wherever both have an answer to the same question at the same ``scale``.

    Answers are paired by seed and by image; of several to the same question the latest counts.
    p-values are corrected as in a table of all ``results`` of that scale.

    Raises SpecError where the two are one, or have no answers to compare.
    """
    if a == b:
        raise SpecError(f"'{a}' is compared with itself; name two methods")
    order, sized = order or Order(), [(one, scale(one)) for one in latest_last(results)]
    found = [(one, size) for one, size in sized if one.labels.method in (a, b)]
    rows: list[Row] = []
    none_right: list[Question] = []
    used: dict[str, Result] = {}
    for size in _tables(size for _, size in found):
        columns = _columns(one for one, own in sized if own.fits(size))
        pairs = [
            (place, ours, replace(ours, method=b))
            for place, column in columns.items()
            for ours in column
            if ours.method == a and replace(ours, method=b) in column
        ]
        p_holm = {place: corrected(columns[place]) for place in {pair[0] for pair in pairs}}
        for place, ours, theirs in sorted(
            pairs, key=lambda pair: (order.row(pair[1]), order.attack(*pair[0][2:]))
        ):
            column = columns[place]
            sides = [*column[ours].values(), *column[theirs].values()]
            sources = " and ".join(dict.fromkeys(one.labels.source for one in sides))
            names = (sources, place[1], ours.encoder, ours.probe)
            question = Question(str(size), *names, *place[2:])
            shared = sorted(column[ours].keys() & column[theirs].keys())
            if not paired(column[ours], column[theirs])[0].size:
                continue
            used |= {
                (one := column[line][s]).cell.key: one for line in (ours, theirs) for s in shared
            }
            p = p_holm[place].get(frozenset((ours, theirs)))
            if p is None:
                none_right.append(question)
            else:
                level = SIGNIFICANT / len(p_holm[place])
                rows.append(_row(question, column[ours], column[theirs], p, level))
    if not used:
        raise SpecError(_nothing_shared(a, b, found))
    if not rows:
        raise SpecError(f"neither {a} nor {b} has a single image right in any cell of both")
    out = [one.labels.method for one, _ in found if one.cell.key not in used]
    counts = out.count(a), out.count(b)
    return Comparison(a, b, tuple(rows), tuple(none_right), tuple(used.values()), counts)


def _tables(sizes: Iterable[Scale]) -> list[Scale]:
    """Each size once; an imported encoder has no table of its own where it fits into another."""
    once = list(dict.fromkeys(sizes))
    return [
        size
        for size in once
        if size.training or not any(size.fits(other) for other in once if other.training)
    ]


def _columns(
    results: Iterable[Result],
) -> dict[tuple[str, str, str, str, str], dict[Labels, dict[int, Result]]]:
    """The columns of a table, by source, target, attack, norm and eps: results by row and seed."""
    columns: dict[tuple[str, str, str, str, str], dict[Labels, dict[int, Result]]] = {}
    for one in results:
        labels = replace(one.labels, source=one.labels.domain)
        place = (labels.source, labels.target, labels.attack, one.norm, one.eps)
        columns.setdefault(place, {}).setdefault(labels, {})[one.seed] = one
    return columns


def _row(question: Question, ours: Seeds, theirs: Seeds, p_holm: float, level: float) -> Row:
    """The comparison on one question, on what the two share; p is significant up to ``level``."""
    right_a, right_b = paired(ours, theirs)
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    a, b = (
        Number(
            *mean_sd([100 * float(of_seed.mean()) for of_seed in right]),
            flags=flags_of(results[seed] for seed in seeds),
        )
        for right, results in ((right_a, ours), (right_b, theirs))
    )
    differences = right_a.sum(axis=0) - right_b.sum(axis=0)
    points = 100 / len(seeds)  # from right answers, summed over seeds, to percent
    # A generator of its own: a row is the same in every table.
    drawn = bootstrap(differences, np.random.default_rng(0))
    smallest = smallest_significant(differences, level)
    if p_holm <= SIGNIFICANT:
        verdict = Verdict.A if differences.sum() > 0 else Verdict.B
    elif np.abs(differences).sum() < smallest or drawn.low > 0 or drawn.high < 0:
        verdict = Verdict.FEW
    else:
        verdict = Verdict.NONE
    return Row(
        question=question,
        seeds=seeds,
        n=right_a.shape[1],
        a=a,
        b=b,
        only_a=int((right_a & ~right_b).sum()),
        only_b=int((right_b & ~right_a).sum()),
        difference=points * float(differences.mean()),
        shows=points * smallest / len(differences),
        verdict=verdict,
        interval=Interval(points * drawn.low, points * drawn.high),
        p=exact_mcnemar(differences),
        p_holm=p_holm,
    )


def _nothing_shared(a: str, b: str, found: Iterable[tuple[Result, Scale]]) -> str:
    """The message for two methods that share nothing: what is stored of each, and the way out."""
    has = {}
    for method in (a, b):
        own = [(str(size), str(one.seed)) for one, size in found if one.labels.method == method]
        sizes, seeds = ("; ".join(dict.fromkeys(column)) for column in zip(*own, strict=True))
        has[method] = f"{method} was run at {sizes}, seed {seeds}"
    return (
        f"nothing to compare: {has[a]}, and {has[b]}, but never on the same data, attack, scale, "
        "seed and test images; one `robench run` makes both"
    )


# --- as a table and as a frame


def table(comparison: Comparison) -> Table:
    """The comparison for a reader; a fact that all rows share stands in the caption."""
    rows, a, b = comparison.rows, proper(comparison.a), proper(comparison.b)
    short = [name.partition(" (")[0] for name in (a, b)]
    short_a, short_b = short if len(set(short)) == 2 else (a, b)
    facts = {
        "data": [proper(f"{row.question.source} → {row.question.target}") for row in rows],
        "encoder": [proper(row.question.encoder) for row in rows],
        "probe": [proper(row.question.probe) for row in rows],
        "seeds": [",".join(map(str, row.seeds)) for row in rows],
        "images": [f"{row.n:,}" for row in rows],
        "scale": [row.question.scale for row in rows],
    }
    same = [f"{name} {values[0]}" for name, values in facts.items() if len(set(values)) == 1]
    facts = {name: values for name, values in facts.items() if len(set(values)) > 1}
    facts["attack"] = attack_names([row.question[5:] for row in rows])
    lines = [
        Line(
            names,
            (
                row.a,
                row.b,
                f"{row.difference:+z.1f} [{row.interval.low:+z.1f}, {row.interval.high:+z.1f}]",
                f"{row.shows:.1f}" if row.shows <= 100 else None,
                row.verdict.value.format(a=short_a, b=short_b),
            ),
        )
        for names, row in zip(zip(*facts.values(), strict=True), rows, strict=True)
    ]
    several = any(len(row.seeds) > 1 for row in rows)
    together = ", all seeds of an image together" if several else ""
    out = comparison.none_right
    rows_out = "1 row" if len(out) == 1 else f"{len(out)} rows"
    under = ", ".join(dict.fromkeys(attack_names([one[5:] for one in out])))
    notes = [
        f"Left out: {rows_out} in which neither method has a single image right ({under})."
        if out
        else "",
        f"Difference: {a} less {b}, in points, with its 95% interval: paired bootstrap over images "
        f"({RESAMPLES:,} resamples, percentiles){together}.",
        "Could show: the smallest difference, in points, that the test finds on these images.",
        f"Verdict: {TEST}, as for ties in the table. It takes more images to tell where the two "
        "differ on fewer than the test needs, or where only the interval leaves out 0.",
        "±: standard deviation over seeds." if several else "",
    ]
    return Table(
        caption=f"{a} against {b}: accuracy (%) on the same test images."
        + (f" Throughout: {', '.join(same)}." if same else ""),
        names=tuple(facts),
        columns=(short_a, short_b, "difference [95%]", "could show", "verdict"),
        groups=tuple(tuple(own) for _, own in groupby(lines, lambda line: line.names[:-1])),
        notes=tuple(Note("", note) for note in notes if note),
    )


def frame(comparison: Comparison) -> pd.DataFrame:
    """One line per row: accuracies in percent, differences in points; no sd for a single seed."""
    return pd.DataFrame(
        {
            "method_a": comparison.a,
            "method_b": comparison.b,
            **row.question._asdict(),
            "seeds": ";".join(map(str, row.seeds)),
            "n": row.n,
            "accuracy_a": row.a.value,
            "sd_a": row.a.sd,
            "accuracy_b": row.b.value,
            "sd_b": row.b.sd,
            "difference": row.difference,
            "ci_low": row.interval.low,
            "ci_high": row.interval.high,
            "only_a": row.only_a,
            "only_b": row.only_b,
            "p": row.p,
            "p_holm": row.p_holm,
            "could_show": row.shows,
            "verdict": row.verdict.value.format(a=comparison.a, b=comparison.b),
            "flags_a": ";".join(row.a.flags),
            "flags_b": ";".join(row.b.flags),
        }
        for row in comparison.rows
    )
