"""Answers to a plan, and reports on stored cells: which of them, and of which size."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from robench.catalog.catalog import Catalog
from robench.catalog.scale import Scale, scale, table_size
from robench.catalog.typed import agrees, plain_name
from robench.contracts import Outcome
from robench.engine.bench import Bench
from robench.engine.estimate import missing, overview, shares
from robench.engine.faults import blame
from robench.engine.known import Known
from robench.engine.local import answers, reporting
from robench.engine.progress import Planned
from robench.grid.questions import Evaluation
from robench.grid.records import CODE, Curve, Result
from robench.grid.spec import SpecError, nearest, parse
from robench.report.compare import Comparison
from robench.report.notebook import Results
from robench.report.pivot import pivot
from robench.report.results import Order, latest_last, one_each, told_apart
from robench.report.table import Table
from robench.report.write import write
from robench.trust.flags import OUTDATED
from robench.trust.review import review


def answer(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Results:
    """Answer the evaluations, and report on them and on what else is stored of the same size.

    Stored cells in the place of one of them in the table stay out of the report.
    """
    bench.store.prepare()
    answered, failures, cached = answer_each(bench, evaluations, limit)
    table = None
    with reporting(bench):  # the last of several processes to write has read what all have found
        stored = reviewed(bench.known, published=True)
        known = {result.cell.key: result for result in stored}
        results = tuple(known.get(result.cell.key, result) for result in answered)
        found = [size(bench.known, one) for one in stored]
        tables = [table_size([*found, one]) for one in {size(bench.known, own) for own in results}]
        fits = [any(own.fits(table) for table in tables) for own in found]
        reported = one_each([*compress(stored, fits), *results])
        asked = {one.seed for one in results}
        if earlier := sorted({one.seed for one in reported} - asked):
            seeds = ", ".join(map(str, earlier))
            bench.say(f"the table has seeds of earlier runs too ({seeds}); --out keeps a run apart")
        if reported:
            order = Order(map(bench.store.labels, evaluations))
            for _ in bench.progress(range(1), "writing tables and figures"):
                table, _, failed = write_report(bench.known, reported, order, redraw=False)
                failures += failed
    absent = len(evaluations) - len(results)
    return Results(results, tuple(failures), bench.store.out, absent, table, cached)


def answer_each(
    bench: Bench, evaluations: Sequence[Evaluation], limit: int | None
) -> tuple[list[Result], list[str], int]:
    """Answer as `answers` does, and say the plan, how many cells were read, and when made.

    Returns the results, the failures, and the number of cells that were read.
    """
    before = {one.cell.key: one.cell for e in evaluations if (one := bench.store.result(e))}
    left = missing(bench, evaluations, limit)
    bench.say(overview(bench, evaluations, left))
    if isinstance(bench.progress, Planned):
        bench.progress.plan(shares(bench, evaluations, left, limit))
    answered, failures = answers(bench, evaluations, limit)
    read = [one for one in answered if before.get(one.cell.key) == one.cell]
    if read:
        bench.say(f"read {made(read)}")
    return answered, failures, len(read)


def made(results: Sequence[Result]) -> str:
    """The number of results, their dates and commits: "2 cells, made 2026-11-25 at commit …"."""
    several = [one.cell.provenance for one in results]
    dates = sorted({one.finished[:10] for one in several})
    commits = sorted({one.commit for one in several if one.commit})
    of = f" at commit {', '.join(commits)}" if commits else ""
    cells = "1 cell" if len(several) == 1 else f"{len(several)} cells"
    return f"{cells}, made {' to '.join(dict.fromkeys((dates[0], dates[-1])))}{of}"


def stored_method(typed: str, known: Sequence[str], catalog: Catalog) -> str:
    """The label of a stored method, from one of its names; a bare name finds its only variant.

    Raises SpecError with the nearest labels where there are no such cells.
    """
    if typed in known:
        return typed
    with suppress(SpecError):  # of a mistyped one, or a plug-in's that is not at hand
        label = catalog.label("methods", catalog.resolve("methods", typed))
        if label in known:
            return label
    alike = [one for one in known if _is_variant(one, typed)]
    if len(alike) == 1:
        return alike[0]
    hint = f"did you mean {' or '.join(map(repr, alike))}?" if alike else nearest(typed, known)
    raise SpecError(f"no stored cells of method '{typed}'; {hint}")


def _is_variant(label: str, typed: str) -> bool:
    """Whether a stored method has the name that was typed, and the arguments, if any."""
    try:
        return agrees(parse(typed), parse(label))
    except SpecError:  # such as an imported encoder's
        return plain_name(label) == plain_name(typed)


def reviewed(known: Known, published: bool = False) -> list[Result]:
    """Every stored result, the latest last, with its flags; different data have different names.

    One that today's code, data and weights would not give says so. If ``published``, only a
    published one may: others are left out, as a run computes them again.
    """
    return latest_last(told_apart(flagged(known, known.store.results(), published)))


def flagged(known: Known, results: Iterable[Result], published: bool = False) -> list[Result]:
    """The results with their flags; outdated ones say nothing of the others. See `reviewed`."""
    current, outdated = known.split(results)
    shown = [one for one in outdated if not published or known.store.is_published(one)]
    marked = (
        replace(one, flags=(*one.flags, OUTDATED)) for one in review(shown, known.catalog.attack)
    )
    return [*review(current, known.catalog.attack), *marked]


def stored(known: Known) -> list[Result]:
    """The results of `reviewed`. Raises SpecError where nothing is stored."""
    results, out = reviewed(known), known.store.out
    if not results:
        raise SpecError(f"no results in {out}; {_elsewhere()}")
    return results


def _elsewhere() -> str:
    folders = sorted(str(path.parent) for path in Path("results").glob("**/cells"))
    there = f"there are some in {', '.join(folders)}: give --preset or --out"
    return there if folders else "robench run makes some"


def latest(known: Known) -> list[Result]:
    """The stored results of the latest one's size, one for each place in the table.

    Says when they were made, and what is left out. Raises SpecError where nothing is stored.
    """
    results = stored(known)
    sizes = [size(known, result) for result in results]
    table = table_size(sizes)
    alike = list(compress(results, (own.fits(table) for own in sizes)))
    reported = one_each(alike)
    misfits = Counter(own for own in sizes if not own.fits(table))
    left = [f"{count} at {other}" for other, count in misfits.items()]
    if len(reported) < len(alike):
        left.append(f"{len(alike) - len(reported)} with the place of a later one")
    others = f"; left out {'; '.join(left)}" if left else ""
    known.say(f"reported {made(reported)}, at {table}{others}")
    return reported


def compared(done: Comparison) -> str:
    """The cells of a comparison, when they were made, and those that it leaves out, in a line."""
    counts = zip(done.left_out, (done.a, done.b), strict=True)
    left = " and ".join(f"{count} of {method}" for count, method in counts if count)
    why = "without a partner, or with the place of a later one"
    return f"compared {made(done.cells)}" + (f"; left out {left}, {why}" if left else "")


def scales(results: Sequence[Result], known: Known) -> str:
    """Every scale among the results, in words, for the caption of their table.

    Older code that was accepted is named behind it.
    """
    own = {size(known, result, settings=True) for result in results}
    trained = {one for one in own if one.training}
    words = "; ".join(sorted(map(str, trained or own)))
    code = ", ".join(sorted(what.removeprefix(CODE) for what in known.accepted))
    return f"{words}. Older code of {code} was accepted" if code else words


def size(known: Known, result: Result, settings: bool = False) -> Scale:
    """The scale of a result; without ``settings``, that which results of a table share."""
    card = known.store.card(result.cell.evaluation.probing.source)
    return scale(result, card, known.catalog, settings)


class Report(NamedTuple):
    """A report in its folder: the table, all files, and a line for each metric that fails."""

    table: Table
    paths: list[Path]
    failures: list[str]


def write_report(
    known: Known,
    results: Sequence[Result],
    order: Order,
    redraw: bool = True,
) -> Report:
    """Write tables and figures on the results into the store's folder.

    Without ``redraw``, figures of a report whose text stays the same are left as they are.
    """
    store, catalog = known.store, known.catalog
    results = sorted(results, key=lambda result: result.cell.key)
    first = {result.cell.evaluation.probing.source: result for result in results}
    cards = ((result, store.card(source)) for source, result in first.items())
    curves = [
        Curve(one.labels.method, one.labels.source, one.labels.encoder, one.seed, card.losses)
        for one, card in cards
        if card is not None and card.losses
    ]
    failures: dict[str, str] = {}

    def measured(name: str, outcome: Outcome) -> float:
        try:
            return float(catalog.component("metrics", name)(outcome))
        except Exception as error:
            failures[name] = blame(error, catalog, "metrics", name)
            return math.nan

    table = pivot(results, scale=scales(results, known), order=order)
    metrics = {name: partial(measured, name) for name in catalog.names("metrics")}
    paths = write(results, curves, table, store.out, order=order, metrics=metrics, redraw=redraw)
    return Report(table, paths, list(failures.values()))
