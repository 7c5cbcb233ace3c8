"""The functions behind the command line and ``robench.run(...)`` in a notebook."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import torch

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan, reach, schedules
from robench.catalog.request import Names, Places, Request, keywords, specs
from robench.catalog.scale import scale
from robench.contracts import Encoder, Progress
from robench.engine.bench import Bench, find_card, restore
from robench.engine.progress import bar
from robench.grid.questions import Evaluation
from robench.grid.records import Card, Curve, Examples, Result
from robench.grid.spec import SpecError, nearest, parse, parse_number
from robench.store.store import Store, StoreError, published
from robench.trust.review import review

if TYPE_CHECKING:
    from pandas import DataFrame

    from robench.engine.audit.findings import Finding
    from robench.engine.guest import Report
    from robench.report.compare import Comparison
    from robench.report.table import Table
    from robench.reproduction import Reproduction

Say = Callable[[str], None]
"""Takes one line of a message."""


@dataclass(frozen=True)
class Results(Sequence[Result]):
    """The answers of a run in the plan's order; how many are ``missing``, and the failures."""

    results: tuple[Result, ...]
    failures: tuple[str, ...]
    out: Path
    missing: int = 0

    @property
    def frame(self) -> "DataFrame":
        """One row a cell, as in ``results.csv``."""
        from robench.report.results import frame

        return frame(self.results)

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | Sequence[Result]:
        return self.results[index]


@keywords(Request)
@keywords(Places)
def run(
    request: Request,
    *,
    places: Places,
    progress: Progress = bar,
    say: Say = print,
    warn: Say | None = None,
) -> Results:
    """Pretrain, probe, attack and report whatever is not known yet.

    ``say`` is called with each thing that was computed, ``warn`` with each damaged file. Raises
    SpecError, DataError or StoreError, before any compute, for what does not exist or cannot be
    read or written.
    """
    bench = make_bench(places, open_store(request.preset, places, warn or say), progress, say)
    evaluations = plan(request, bench.catalog)
    bench.store.prepare()
    for line in schedules(evaluations, request, bench.catalog):
        say(line)
    return answer(bench, evaluations, reach(request, bench.catalog))


@keywords(Request)
@keywords(Places)
def dry_run(
    request: Request,
    *,
    places: Places,
    progress: Progress = bar,
    warn: Say = print,
) -> Iterator[str]:
    """The plan of `run` in lines: schedules, what is cached, and rough times. Nothing is written.

    Raises SpecError as `run` does.
    """
    from robench.engine.estimate import estimate

    bench = make_bench(places, open_store(request.preset, places, warn), progress, warn)
    evaluations = plan(request, bench.catalog)
    yield from schedules(evaluations, request, bench.catalog)
    yield from estimate(bench, evaluations, reach(request, bench.catalog))


@keywords(Request, "seeds")
@keywords(Places)
def reproduce(
    table: str,
    scale: str = "cpu-hour",
    *,
    request: Request,
    places: Places,
    progress: Progress = bar,
    say: Say = print,
    warn: Say | None = None,
) -> "Reproduction":
    """Run a published table again at a scale, and set its values beside the measured ones.

    ``reproduction.md`` and ``.csv`` are written into the results folder. Raises SpecError,
    DataError or StoreError, before any compute, for what does not exist or cannot be read or
    written.
    """
    from robench.report.files import replace
    from robench.reproduction import reproduce, texts

    task, bench = reproduction(table, scale, request, places, progress, say, warn or say)
    made = reproduce(task, bench)
    with bench.reporting():
        for name, text in texts(made).items():
            try:
                replace(bench.store.out / name, text.encode())
            except OSError as error:
                raise StoreError(f"cannot write {bench.store.out / name}: {error}") from None
    return made


def reproduction(
    table: str,
    scale: str,
    request: Request,
    places: Places,
    progress: Progress,
    say: Say,
    warn: Say,
) -> "tuple[Reproduction, Bench]":
    """A published table before it has run again, and the bench to run it on.

    Raises SpecError for what does not exist or cannot be, before any compute.
    """
    from robench.report import published
    from robench.reproduction import planned

    store = Store(reproduction_folder(table, scale, places), places.zoo, warn)
    bench = make_bench(places, store, progress, say)
    made = planned(table, scale, request.seeds, bench.catalog, published.values())
    return made, bench


def reproduction_folder(table: str, scale: str, places: Places) -> Path:
    """The results folder of a reproduction: ``out``, or its own for table and scale."""
    return places.out or Path("results") / "reproduce" / f"{table}-{scale}"


@keywords(Request, "attacks", "norms", "eps", "limit")
@keywords(Places, "out", "data", "device", "plugins")
def evaluate(
    checkpoint: Path | str,
    encoder: str,
    dataset: str,
    *,
    request: Request,
    places: Places,
    head: str = "probe",
    probe: str | None = None,
    branch: str | None = None,
    progress: Progress = bar,
    say: Say = print,
) -> "Report":
    """Attack somebody else's model: a checkpoint in safetensors, or as torch.save writes it.

    Raises SpecError, DataError or StoreError, before any compute, for what does not exist or cannot
    be read or written.
    """
    from robench.engine.guest import Asked, evaluate_checkpoint

    asked = Asked(
        encoder=parse(encoder),
        dataset=parse(dataset),
        attacks=request.attacks,
        norms=request.norms,
        eps=request.eps,
        limit=request.limit,
        probe=None if probe is None else parse(probe),
        branch=branch,
        head=head,
    )
    out, device = places.out or Path("results/evaluate"), find_device(places.device)
    catalog = Catalog(places.plugins)
    return evaluate_checkpoint(
        Path(checkpoint), asked, catalog, places.root, out, device, progress, say
    )


def answer(bench: Bench, evaluations: Sequence[Evaluation], limit: int | None) -> Results:
    """Answer the evaluations, and report on them and on what else is stored at the same scale.

    Stored cells in the place of one of them in the table stay out of the report. Flags that show
    only beside other cells are written into the cells of the results folder.
    """
    from robench.report.results import one_each

    bench.store.prepare()
    answered = list(bench.answers(evaluations, limit))
    scales = {scale(evaluation, limit, bench.catalog) for evaluation in evaluations}
    with bench.reporting():  # the last of several processes to write has read what all have found
        stored = list(bench.store.results())
        reviewed = review(stored)
        for before, after in zip(stored, reviewed, strict=True):
            if after is not before:
                bench.store.amend(after.cell)
        known = {result.cell.key: result for result in reviewed}
        results = tuple(known.get(result.cell.key, result) for result in answered)
        others = (r for r in known.values() if _scale(r, bench.catalog) in scales)
        reported = one_each([*others, *results])
        if reported:
            write_report(bench.store, reported, bench.catalog)
    missing = len(evaluations) - len(results)
    return Results(results, tuple(bench.failures), bench.store.out, missing)


@keywords(Request, "preset")
@keywords(Places, "out", "zoo", "plugins")
def report(*, request: Request, places: Places, say: Say = print) -> list[Path]:
    """Write tables and figures again from the stored cells at the scale of the latest one.

    Returns the paths of the files; ``say`` is called with what is left out. Raises SpecError where
    nothing is stored.
    """
    store, catalog = _stored_cells(request, places, say)
    return write_report(store, latest(store, catalog, say), catalog)


@keywords(Request, "preset")
@keywords(Places, "out", "zoo", "plugins")
def worst_case(attacks: Names, *, request: Request, places: Places, say: Say = print) -> "Table":
    """The table of the latest scale, with the worst case over the attacks, image by image.

    Attacks are named as in the table. Nothing is computed or written. Raises SpecError where
    nothing is stored, or no model was attacked by all of them at the same norm and eps.
    """
    from robench.report.table import pivot
    from robench.report.worst_case import worst_cases

    store, catalog = _stored_cells(request, places, say)
    results = latest(store, catalog, say)
    worst = worst_cases(results, [str(spec) for spec in specs("attacks", attacks)])
    return pivot([*results, *worst], scale=_scale(results[0], catalog))


@keywords(Request, "preset")
@keywords(Places, "out", "zoo", "plugins")
def compare(
    method_a: str,
    method_b: str,
    *,
    worst_case: Names = None,
    request: Request,
    places: Places,
    say: Say = print,
) -> "Comparison":
    """Compare two methods on the same images, from the stored cells; nothing is computed.

    Methods are named as in the table, or in any way that means the same. ``worst_case`` adds the
    worst case over some attacks. ``say`` is called with what is left out. Raises SpecError for a
    method without stored cells, or two with nothing in common.
    """
    from robench.report import compare as comparing
    from robench.report.worst_case import worst_cases

    store, catalog = _stored_cells(request, places, say)
    results = stored(store)
    methods = sorted({result.labels.method for result in results})
    a, b = (_stored_method(typed, methods, catalog) for typed in (method_a, method_b))
    if worst_case is not None:
        results += worst_cases(results, [str(spec) for spec in specs("attacks", worst_case)])
    made = comparing.compare(results, a, b, lambda result: _scale(result, catalog))
    left = [
        f"{count} of {one} that {other} has no partner for"
        for count, one, other in zip(made.without_partner, (a, b), (b, a), strict=True)
        if count
    ]
    if made.replaced:
        left.append(f"{made.replaced} with the place of a later one")
    if left:
        say(
            f"compared {sum(len(row.seeds) for row in made.rows)} pairs of cells; "
            f"left out {'; '.join(left)}"
        )
    return made


def _stored_cells(request: Request, places: Places, warn: Say) -> tuple[Store, Catalog]:
    catalog = Catalog(places.plugins)
    catalog.preset(request.preset)
    return open_store(request.preset, places, warn), catalog


def _stored_method(typed: str, known: Sequence[str], catalog: Catalog) -> str:
    """The label of a method with stored answers."""
    spec = parse(typed)
    if str(spec) in known:
        return str(spec)
    try:
        label = catalog.label("methods", catalog.resolve("methods", spec))
    except SpecError:
        label = ""  # such as a plug-in's that is not at hand, or a mistyped one
    if label in known:
        return label
    of_that_name = [one for one in known if parse(one).name == spec.name]
    hint = f"did you mean {' or '.join(of_that_name)}?" if of_that_name else nearest(typed, known)
    raise SpecError(f"no stored cells of method '{typed}'; {hint}")


def stored(store: Store) -> list[Result]:
    """Every stored answer, the latest last, with the flags that all of them ask for.

    Raises SpecError where there is none.
    """
    from robench.report.results import latest_last

    results = latest_last(review(store.results()))
    if not results:
        raise SpecError(f"no results in {store.out}; `robench run --out {store.out}` makes some")
    return results


def latest(store: Store, catalog: Catalog, say: Callable[[str], None]) -> list[Result]:
    """The stored answers at the scale of the latest, one for each place in the table.

    ``say`` is told, in a line, what is left out. Raises SpecError where nothing is stored.
    """
    from robench.report.results import one_each

    results = stored(store)
    scales = [_scale(result, catalog) for result in results]
    at_latest = [r for r, own in zip(results, scales, strict=True) if own == scales[-1]]
    reported = one_each(at_latest)
    others = Counter(own for own in scales if own != scales[-1])
    left = [f"{count} at {other}" for other, count in others.items()]
    if len(reported) < len(at_latest):
        left.append(f"{len(at_latest) - len(reported)} with the place of a later one")
    if left:
        say(f"reported {len(reported)} cells at {scales[-1]}; left out {'; '.join(left)}")
    return reported


def _scale(result: Result, catalog: Catalog) -> str:
    return scale(result.cell.evaluation, result.cell.limit, catalog)


def write_report(store: Store, results: Sequence[Result], catalog: Catalog) -> list[Path]:
    """Write tables and figures on the results into the store's results folder; returns the paths.

    Raises StoreError where they cannot be written.
    """
    from robench.report.write import write

    results = sorted(results, key=lambda result: result.cell.key)
    trained = dict.fromkeys(result.cell.evaluation.probing.pretraining for result in results)
    cards = [card for card in map(store.card, trained) if card is not None]
    examples = (store.examples(result.cell) for result in results)
    try:
        return write(
            results,
            [curve(card) for card in cards],
            [shown for shown in examples if isinstance(shown, Examples)],
            store.out,
            scale="; ".join(sorted({_scale(r, catalog) for r in results})),
            metrics={name: catalog.metric(name) for name in catalog.names("metrics")},
        )
    except OSError as error:
        raise StoreError(f"cannot write the report to {store.out}: {error}") from None


def curve(card: Card) -> Curve:
    """How the pretraining of a card went."""
    return Curve(card.method, card.source, card.encoder, card.pretraining.seed, card.losses)


@keywords(Places, "zoo", "plugins")
def load_encoder(key: str, *, places: Places) -> Encoder:
    """The encoder of the zoo with that key, in eval mode on the CPU.

    It takes images [B, 3, H, W] in [0, 1] to features [B, width]. Raises SpecError where the zoo
    has no such encoder, or its weights are missing or damaged.
    """
    damages: list[str] = []
    store = Store(Path("results"), places.zoo, damages.append)
    card = find_card(store, key, damages)
    weights = store.encoder(card)
    if weights is None:
        why = " ".join(damages) or "its weights are missing; `robench run` trains it again"
        raise SpecError(f"cannot load '{key}' from {places.zoo}: {why}")
    return restore(Catalog(places.plugins), card, weights)


@keywords(Places, "zoo", "data", "device", "plugins")
def audit(
    key: str,
    *,
    places: Places,
    target: str | None = None,
    probe: str = "linear",
    limit: int = 200,
    eps: str = "8/255",
    autoattack: bool = True,
    progress: Progress = bar,
    say: Say = print,
    warn: Say | None = None,
) -> "Iterator[Finding]":
    """Try every check on the encoder of the zoo with that key.

    ``target`` is the data set of the probe and of the attacks, the encoder's own by default. Raises
    SpecError, before any compute, for what does not exist or is out of range.
    """
    from robench.engine.audit.battery import audit
    from robench.engine.audit.subject import Asked

    bench = make_bench(places, Store(Path("results"), places.zoo, warn or say), progress, say)
    catalog, card = bench.catalog, find_card(bench.store, key)
    radius = parse_number(eps)
    if not 0 < radius <= 1:
        raise SpecError(f"--eps {eps} is not a radius in linf; give one in (0, 1], such as 8/255")
    if limit < 1:
        raise SpecError(f"--limit {limit} is too few; give 1 or more")
    source = card.pretraining.dataset
    asked = Asked(
        target=source if target is None else catalog.resolve("datasets", parse(target)),
        probe=catalog.resolve("probes", parse(probe)),
        limit=limit,
        eps=radius,
        autoattack=autoattack,
    )
    return audit(bench, card, asked)


def make_bench(places: Places, store: Store, progress: Progress, say: Say) -> Bench:
    """A bench at these places.

    Raises SpecError for a plug-in or a device that cannot be used.
    """
    catalog, device = Catalog(places.plugins), find_device(places.device)
    return Bench(catalog, store, places.root, device, progress, say)


def open_store(preset: str, places: Places, warn: Say) -> Store:
    """The store of a run: ``out``, or the preset's folder under ``results``.

    A published folder is only read, unless ``out`` names it: new cells go to ``<folder>.own``.
    """
    if places.out is not None:
        return Store(places.out, places.zoo, warn)
    folder = Path("results") / preset
    if published(folder):
        own = folder.with_name(f"{folder.name}.own")
        return Store(own, places.zoo, warn, shelf=folder)
    return Store(folder, places.zoo, warn)


def find_device(name: str) -> torch.device:
    """The device of that name; "auto" is the first GPU, or else the CPU.

    Raises SpecError for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        hint = nearest(name, ["auto", "cpu", "cuda", "cuda:0"])
        raise SpecError(f"no device '{name}'; {hint}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise SpecError(f"device '{name}' is not there: torch sees {count} GPUs; use --device cpu")
    if device.type not in ("cpu", "cuda"):
        raise SpecError(f"device '{name}' is not supported; choose auto, cpu, cuda or cuda:0")
    return device
