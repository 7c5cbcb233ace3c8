"""Reports on stored cells: which of them, of which size, and the files of a report."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robench.catalog.catalog import Catalog
from robench.catalog.scale import Scale, scale, size, table_size
from robench.grid.questions import Pretraining
from robench.grid.records import Curve, Examples, Result
from robench.grid.spec import SpecError, nearest, parse
from robench.store.store import Store, StoreError
from robench.trust.review import review

if TYPE_CHECKING:
    from robench.report.compare import Comparison


def stored_method(typed: str, known: Sequence[str], catalog: Catalog) -> str:
    """The label of a stored method, from one of its names.

    Raises SpecError with the nearest labels where there are no such cells.
    """
    if typed in known:
        return typed
    try:
        spec = parse(typed)
        label = catalog.label("methods", catalog.resolve("methods", spec))
    except SpecError:
        label = ""  # such as a plug-in's that is not at hand, or a mistyped one
    if label in known:
        return label
    name = typed.partition("(")[0]
    of_that_name = [one for one in known if one.partition("(")[0] == name]
    hint = f"did you mean {' or '.join(of_that_name)}?" if of_that_name else nearest(typed, known)
    raise SpecError(f"no stored cells of method '{typed}'; {hint}")


def stored(store: Store, catalog: Catalog) -> list[Result]:
    """Every stored result, the latest last, with the flags that show only beside others.

    Raises SpecError where there is none.
    """
    from robench.report.results import latest_last

    results = latest_last(review(store.results(), catalog.attack))
    if not results:
        raise SpecError(f"no results in {store.out}; `robench run --out {store.out}` makes some")
    return results


def latest(store: Store, catalog: Catalog, say: Callable[[str], None]) -> list[Result]:
    """The stored results of the latest one's size, one for each place in the table.

    ``say`` is called with what is left out. Raises SpecError where nothing is stored.
    """
    from robench.report.results import one_each

    results = stored(store, catalog)
    sizes = [size_of(result, catalog) for result in results]
    table = table_size(sizes)
    alike = [result for result, own in zip(results, sizes, strict=True) if own.fits(table)]
    reported = one_each(alike)
    others = Counter(own for own in sizes if not own.fits(table))
    left = [f"{count} at {other}" for other, count in others.items()]
    if len(reported) < len(alike):
        left.append(f"{len(alike) - len(reported)} with the place of a later one")
    if left:
        say(f"reported {len(reported)} cells at {table}; left out {'; '.join(left)}")
    return reported


def left_out(made: "Comparison") -> str:
    """What a comparison leaves out, in a line; "" where it uses all cells."""
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


def size_of(result: Result, catalog: Catalog) -> Scale:
    """The size of a result's training and test; see `size`."""
    return size(result.cell.evaluation, result.cell.limit, catalog)


def scales(results: Sequence[Result], catalog: Catalog) -> str:
    """Every scale among the results, in words, for the caption of their table."""
    own = {scale(result.cell.evaluation, result.cell.limit, catalog) for result in results}
    trained = {one for one in own if one.training}
    return "; ".join(sorted(map(str, trained or own)))


def write_report(
    store: Store, results: Sequence[Result], catalog: Catalog, methods: Sequence[str] = ()
) -> list[Path]:
    """Write tables and figures on the results into the store's results folder; returns the paths.

    ``methods`` come first, in their order. Raises StoreError where they cannot be written.
    """
    from robench.report.write import write

    results = sorted(results, key=lambda result: result.cell.key)
    sources = dict.fromkeys(result.cell.evaluation.probing.source for result in results)
    cards = [card for card in map(store.card, sources) if card is not None]
    curves = [
        Curve(card.method, card.source, card.encoder, card.question.seed, card.losses)
        for card in cards
        if isinstance(card.question, Pretraining)
    ]
    examples = (store.examples(result.cell) for result in results)
    try:
        return write(
            results,
            curves,
            [shown for shown in examples if isinstance(shown, Examples)],
            store.out,
            scale=scales(results, catalog),
            methods=methods,
            metrics={name: catalog.metric(name) for name in catalog.names("metrics")},
        )
    except OSError as error:
        raise StoreError(f"cannot write the report to {store.out}: {error}") from None


def write_text(path: Path, text: str) -> None:
    """Write a text file. Raises StoreError where that cannot be done."""
    from robench.report.write import save

    try:
        save(path, text.encode())
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
