"""Two methods on the same questions, images and seeds: differences, intervals and p-values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from robench.grid.records import Result
from robench.grid.spec import SpecError
from robench.report.results import Seeds, attack_order, latest_last, natural, paired
from robench.report.table import Note, Number, Table, attack_names, explained, flags_of
from robench.report.table import Row as Line
from robench.trust.statistics import RESAMPLES, Interval, bootstrap, exact_mcnemar, holm, mean_sd


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
    correction over the comparison.
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


@dataclass(frozen=True)
class Comparison:
    """Method ``a`` against method ``b``, by their labels.

    ``without_partner`` counts the cells of each that were left out, ``replaced`` those of either
    whose place a later cell has. ``flags`` explains the flags of the numbers.
    """

    a: str
    b: str
    rows: tuple[Row, ...]
    without_partner: tuple[int, int]
    replaced: int
    flags: Mapping[str, str]


def compare(
    results: Iterable[Result], a: str, b: str, scale: Callable[[Result], str]
) -> Comparison:
    """Compare two methods wherever both have an answer to the same question at the same ``scale``.

    Answers are paired by seed and by image; of several to the same question the latest counts. The
    bootstrap of each row has a generator of its own, so that a row is the same in every table.

    Raises SpecError where the two are one, or have no answers to compare.
    """
    if a == b:
        raise SpecError(f"'{a}' is compared with itself; name two methods")

    found = [result for result in latest_last(results) if result.labels.method in (a, b)]
    answers: dict[str, dict[Question, dict[int, Result]]] = {a: {}, b: {}}
    for result in found:
        method, *names = vars(result.labels).values()
        question = Question._make([scale(result), *names, result.norm, result.eps])
        answers[method].setdefault(question, {})[result.seed] = result
    ours, theirs = answers[a], answers[b]
    shared = sorted(
        ours.keys() & theirs.keys(),
        key=lambda one: (*map(natural, one[:5]), *attack_order(*one[5:])),
    )
    rows = [row for one in shared if (row := _row(one, ours[one], theirs[one])) is not None]
    if not rows:
        raise SpecError(_nothing_shared(a, b, ours, theirs))
    corrected = holm([row.p for row in rows])
    kept = [sum(map(len, questions.values())) for questions in (ours, theirs)]
    pairs = sum(len(row.seeds) for row in rows)
    return Comparison(
        a=a,
        b=b,
        rows=tuple(replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)),
        without_partner=(kept[0] - pairs, kept[1] - pairs),
        replaced=len(found) - sum(kept),
        flags=explained(found),
    )


def _row(question: Question, ours: Seeds, theirs: Seeds) -> Row | None:
    """The comparison on one question; None where the two share no seed or no image."""
    right_a, right_b = paired(ours, theirs)
    if not right_a.size:
        return None
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
    drawn = bootstrap(differences, np.random.default_rng(0))
    p = exact_mcnemar(differences)
    return Row(
        question=question,
        seeds=seeds,
        n=right_a.shape[1],
        a=a,
        b=b,
        only_a=int((right_a & ~right_b).sum()),
        only_b=int((right_b & ~right_a).sum()),
        difference=points * float(differences.mean()),
        interval=Interval(points * drawn.low, points * drawn.high),
        p=p,
        p_holm=p,
    )


def _nothing_shared(
    a: str, b: str, ours: Mapping[Question, Seeds], theirs: Mapping[Question, Seeds]
) -> str:
    """The reason why there is nothing to compare, and the way out."""
    shared = ours.keys() & theirs.keys()
    scales = [sorted({question.scale for question in side}) for side in (ours, theirs)]
    seeds = [sorted({seed for one in shared for seed in side[one]}) for side in (ours, theirs)]
    if not {*scales[0]} & {*scales[1]}:
        first, second = map("; ".join, scales)
        why = f"they were never run at the same scale: {a} at {first}, {b} at {second}"
    elif not shared:
        why = "no data sets, encoder, probe, attack, norm and eps are the same for both"
    elif any(ours[question].keys() & theirs[question].keys() for question in shared):
        why = "they were not tried on the same test images"
    else:
        first, second = (",".join(map(str, side)) for side in seeds)
        why = f"no seeds are the same: {a} has {first}, {b} has {second}"
    return f"nothing to compare between {a} and {b}: {why}; one `robench run` makes both"


# --- as a table and as a frame


def table(comparison: Comparison) -> Table:
    """The comparison for a reader; a fact that all rows share stands in the caption."""
    rows, a, b = comparison.rows, comparison.a, comparison.b
    facts = {
        "data": [f"{row.question.source} → {row.question.target}" for row in rows],
        "encoder": [row.question.encoder for row in rows],
        "probe": [row.question.probe for row in rows],
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
                f"{row.only_a:,} : {row.only_b:,}",
                f"{row.p:.2g}",
                f"{row.p_holm:.2g}",
            ),
        )
        for names, row in zip(zip(*facts.values(), strict=True), rows, strict=True)
    ]
    several = any(len(row.seeds) > 1 for row in rows)
    together = ", all seeds of an image together" if several else ""
    count = f"{len(rows)} comparisons" if len(rows) > 1 else "one comparison"
    notes = [
        f"Difference: {a} less {b}, in points.",
        f"95% interval: paired bootstrap over images ({RESAMPLES:,} resamples, percentiles)"
        f"{together}.",
        f"p: McNemar's exact test, two-sided{together}; Holm: corrected for the {count} made here.",
        *["±: standard deviation over seeds."] * several,
    ]
    return Table(
        caption=f"{a} against {b}: accuracy (%) on the same test images."
        + (f" Throughout: {', '.join(same)}." if same else ""),
        names=tuple(facts),
        columns=(a, b, "difference [95% interval]", "only one right", "p", "p (Holm)"),
        groups=(tuple(lines),),
        notes=tuple(Note("", note) for note in notes),
        flags=comparison.flags,
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
            "flags_a": ";".join(row.a.flags),
            "flags_b": ";".join(row.b.flags),
        }
        for row in comparison.rows
    )
