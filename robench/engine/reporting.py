"""Answers to a plan, and reports on stored cells: which of them, and of which size."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import pandas as pd

from robench.catalog.catalog import Catalog
from robench.catalog.request import Places
from robench.catalog.scale import Scale, scale, table_size
from robench.engine.bench import Bench
from robench.engine.local import answers, reporting
from robench.grid.questions import Evaluation
from robench.grid.records import Curve, Result
from robench.grid.spec import SpecError, nearest
from robench.report.compare import Comparison
from robench.report.pivot import pivot
from robench.report.results import Order, frame, latest_last, one_each, told_apart
from robench.report.table import Table
from robench.report.write import write
from robench.store.store import Store
from robench.trust.review import review


@dataclass(frozen=True)
class Results:
    """The answers of a run in the plan's order; how many are ``missing``, and the failures.

    ``table`` is of these and of what else is stored of their size; None where there is nothing.
    """

    results: tuple[Result, ...]
    failures: tuple[str, ...]
    out: Path
    missing: int = 0
    table: Table | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """One row a cell, as in ``results.csv``."""
        return frame(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __getitem__(self, index: int) -> Result:
        return self.results[index]


def answer(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Results:
    """Answer the evaluations, and report on them and on what else is stored of the same size.

    Stored cells in the place of one of them in the table stay out of the report.
    """
    bench.store.prepare()
    answered, failures = answers(bench, evaluations, limit)
    sizes = {scale(evaluation, limit, bench.catalog, settings=False) for evaluation in evaluations}
    table = None
    with reporting(bench):  # the last of several processes to write has read what all have found
        stored = reviewed(bench.store, bench.catalog)
        known = {result.cell.key: result for result in stored}
        results = tuple(known.get(result.cell.key, result) for result in answered)
        found = [size(bench.catalog, one) for one in stored]
        tables = [table_size([*found, one]) for one in sizes]
        fits = [any(own.fits(table) for table in tables) for own in found]
        reported = one_each([*compress(stored, fits), *results])
        if reported:
            order = Order(map(bench.store.labels, evaluations))
            table, _ = write_report(bench.store, reported, bench.catalog, order, redraw=False)
    missing = len(evaluations) - len(results)
    return Results(results, tuple(failures), bench.store.out, missing, table)


def stored_method(typed: str, known: Sequence[str], catalog: Catalog) -> str:
    """The label of a stored method, from one of its names.

    Raises SpecError with the nearest labels where there are no such cells.
    """
    if typed in known:
        return typed
    with suppress(SpecError):  # of a mistyped one, or a plug-in's that is not at hand
        label = catalog.label("methods", catalog.resolve("methods", typed))
        if label in known:
            return label
    alike = [one for one in known if one.partition("(")[0] == typed.partition("(")[0]]
    hint = f"did you mean {' or '.join(alike)}?" if alike else nearest(typed, known)
    raise SpecError(f"no stored cells of method '{typed}'; {hint}")


def reviewed(store: Store, catalog: Catalog) -> list[Result]:
    """Every stored result, the latest last, with its flags; different data have different names."""
    return latest_last(told_apart(review(store.results(), catalog.attack)))


def stored(store: Store, catalog: Catalog) -> list[Result]:
    """The same. Raises SpecError where there is none."""
    results = reviewed(store, catalog)
    if not results:
        raise SpecError(f"no results in {store.out}; `robench run --out {store.out}` makes some")
    return results


def latest(store: Store, catalog: Catalog, say: Callable[[str], None]) -> list[Result]:
    """The stored results of the latest one's size, one for each place in the table.

    ``say`` is called with what is left out. Raises SpecError where nothing is stored.
    """
    results = stored(store, catalog)
    sizes = [size(catalog, result) for result in results]
    table = table_size(sizes)
    alike = list(compress(results, (own.fits(table) for own in sizes)))
    reported = one_each(alike)
    others = Counter(own for own in sizes if not own.fits(table))
    left = [f"{count} at {other}" for other, count in others.items()]
    if len(reported) < len(alike):
        left.append(f"{len(alike) - len(reported)} with the place of a later one")
    if left:
        say(f"reported {len(reported)} cells at {table}; left out {'; '.join(left)}")
    return reported


def left_out(made: Comparison) -> str:
    """The cells that a comparison leaves out, in a line; "" where it uses all."""
    counts = zip(made.left_out, (made.a, made.b), strict=True)
    left = " and ".join(f"{count} of {method}" for count, method in counts if count)
    pairs = sum(len(row.seeds) for row in made.rows)
    why = "without a partner, or with the place of a later one"
    return f"compared {pairs} pairs of cells; left out {left}, {why}" if left else ""


def scales(results: Sequence[Result], catalog: Catalog) -> str:
    """Every scale among the results, in words, for the caption of their table."""
    own = {size(catalog, result, settings=True) for result in results}
    trained = {one for one in own if one.training}
    return "; ".join(sorted(map(str, trained or own)))


def size(catalog: Catalog, result: Result, settings: bool = False) -> Scale:
    """The scale of a result; without ``settings``, that which results of a table share."""
    return scale(result.cell.evaluation, result.cell.limit, catalog, settings)


def write_report(
    store: Store,
    results: Sequence[Result],
    catalog: Catalog,
    order: Order,
    redraw: bool = True,
) -> tuple[Table, list[Path]]:
    """Write tables and figures on the results into the store's folder; the table, and all paths.

    Without ``redraw``, figures of a report whose text stays the same are left as they are.
    """
    results = sorted(results, key=lambda result: result.cell.key)
    first = {result.cell.evaluation.probing.source: result for result in results}
    cards = ((result, store.card(source)) for source, result in first.items())
    curves = [
        Curve(one.labels.method, one.labels.source, one.labels.encoder, one.seed, card.losses)
        for one, card in cards
        if card is not None and card.losses
    ]
    table = pivot(results, scale=scales(results, catalog), order=order)
    metrics = {name: catalog.component("metrics", name) for name in catalog.names("metrics")}
    paths = write(results, curves, table, store.out, order=order, metrics=metrics, redraw=redraw)
    return table, paths


def listed(places: Places, catalog: Catalog, warn: Callable[[str], None]) -> Iterator[str]:
    """A line for each stored cell in ``out``, or else in every folder of results.

    Raises SpecError where ``out`` has none.
    """
    out = places.out
    if out and not (out / "cells").is_dir():
        raise SpecError(f"no results in {out}; `robench run --out {out}` makes some")
    folders = [out] if out else sorted(path.parent for path in Path("results").glob("**/cells"))
    if not folders:
        yield "no results yet; `robench run` makes some"
    for folder in folders:
        store = Store(folder, places.zoo, warn, labels=catalog.labels)
        results = reviewed(store, catalog)
        for result in sorted(results, key=lambda result: result.cell.key):
            labels = result.labels
            attack = " ".join(filter(None, (labels.attack, result.norm, result.eps)))
            flags = f", flagged {'; '.join(result.flags)}" if result.flags else ""
            yield (
                f"{100 * result.correct / result.n:5.1f}%  {labels.method} {labels.source} -> "
                f"{labels.target}, {attack}, seed {result.seed}, n {result.n}{flags}  "
                f"{result.cell.key}"
            )
        yield f"{folder}: {len(results)} cells"
