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
from robench.grid.questions import Evaluation, Imported
from robench.grid.records import Curve, Result
from robench.grid.spec import SpecError, nearest
from robench.report.compare import Comparison
from robench.report.results import frame, latest_last, one_each
from robench.report.write import write
from robench.store.store import Store
from robench.trust.review import review


@dataclass(frozen=True)
class Results:
    """The answers of a run in the plan's order; how many are ``missing``, and the failures."""

    results: tuple[Result, ...]
    failures: tuple[str, ...]
    out: Path
    missing: int = 0

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
    with reporting(bench):  # the last of several processes to write has read what all have found
        reviewed = review(bench.store.results(), bench.catalog.attack)
        known = {result.cell.key: result for result in reviewed}
        results = tuple(known.get(result.cell.key, result) for result in answered)
        stored = latest_last(known.values())
        found = [_scale(one, bench.catalog, settings=False) for one in stored]
        tables = [table_size([*found, one]) for one in sizes]
        fits = [any(own.fits(table) for table in tables) for own in found]
        reported = one_each([*compress(stored, fits), *results])
        if reported:
            methods = list(dict.fromkeys(result.labels.method for result in results))
            write_report(bench.store, reported, bench.catalog, methods, redraw=False)
    missing = len(evaluations) - len(results)
    return Results(results, tuple(failures), bench.store.out, missing)


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


def stored(store: Store, catalog: Catalog) -> list[Result]:
    """Every stored result, the latest last, with the flags that show only beside others.

    Raises SpecError where there is none.
    """
    results = latest_last(review(store.results(), catalog.attack))
    if not results:
        raise SpecError(f"no results in {store.out}; `robench run --out {store.out}` makes some")
    return results


def latest(store: Store, catalog: Catalog, say: Callable[[str], None]) -> list[Result]:
    """The stored results of the latest one's size, one for each place in the table.

    ``say`` is called with what is left out. Raises SpecError where nothing is stored.
    """
    results = stored(store, catalog)
    sizes = [_scale(result, catalog, settings=False) for result in results]
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
    methods = made.a, made.b
    left = [
        f"{count} of {one} that {other} has no partner for"
        for count, one, other in zip(made.without_partner, methods, methods[::-1], strict=True)
        if count
    ]
    if made.replaced:
        left.append(f"{made.replaced} with the place of a later one")
    pairs = sum(len(row.seeds) for row in made.rows)
    return f"compared {pairs} pairs of cells; left out {'; '.join(left)}" if left else ""


def sizes_in_words(
    results: Sequence[Result], methods: Sequence[str], catalog: Catalog
) -> Callable[[Result], str]:
    """The size of a result in words, without its training where a method was imported."""
    compared = [result for result in results if result.labels.method in methods]
    imported = any(isinstance(one.cell.evaluation.probing.source, Imported) for one in compared)

    def in_words(result: Result) -> str:
        own = _scale(result, catalog, settings=False)
        return own.test if imported else str(own)

    return in_words


def scales(results: Sequence[Result], catalog: Catalog) -> str:
    """Every scale among the results, in words, for the caption of their table."""
    own = {_scale(result, catalog) for result in results}
    trained = {one for one in own if one.training}
    return "; ".join(sorted(map(str, trained or own)))


def _scale(result: Result, catalog: Catalog, settings: bool = True) -> Scale:
    return scale(result.cell.evaluation, result.cell.limit, catalog, settings)


def write_report(
    store: Store,
    results: Sequence[Result],
    catalog: Catalog,
    methods: Sequence[str] = (),
    redraw: bool = True,
) -> list[Path]:
    """Write tables and figures on the results into the store's results folder; returns the paths.

    ``methods`` come first, in their order. Without ``redraw``, figures of a report whose text stays
    the same are left as they are.
    """
    results = sorted(results, key=lambda result: result.cell.key)
    first = {result.cell.evaluation.probing.source: result for result in results}
    cards = ((result, store.card(source)) for source, result in first.items())
    curves = [
        Curve(one.labels.method, one.labels.source, one.labels.encoder, one.seed, card.losses)
        for one, card in cards
        if card is not None and card.losses
    ]
    return write(
        results,
        curves,
        store.out,
        scale=scales(results, catalog),
        methods=methods,
        metrics={name: catalog.component("metrics", name) for name in catalog.names("metrics")},
        redraw=redraw,
    )


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
        results = review(store.results(), catalog.attack)
        for result in results:
            labels = result.labels
            attack = " ".join(filter(None, (labels.attack, result.norm, result.eps)))
            flags = f", flagged {'; '.join(result.flags)}" if result.flags else ""
            yield (
                f"{100 * result.correct / result.n:5.1f}%  {labels.method} {labels.source} -> "
                f"{labels.target}, {attack}, seed {result.seed}, n {result.n}{flags}  "
                f"{result.cell.key}"
            )
        yield f"{folder}: {len(results)} cells"
