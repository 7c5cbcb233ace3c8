"""What a notebook calls, and the command line too."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import torch

from robench.catalog.catalog import Catalog
from robench.catalog.plan import Request, plan, scale
from robench.contracts import Encoder, Progress
from robench.engine.bench import Bench, find_card, restore
from robench.engine.progress import bar
from robench.grid.questions import Evaluation
from robench.grid.records import Card, Curve, Examples, Result
from robench.grid.spec import (
    Spec,
    SpecError,
    exact,
    nearest,
    parse,
    parse_list,
    parse_number,
    show_number,
)
from robench.store.store import Store, StoreError, published
from robench.trust.review import review

if TYPE_CHECKING:
    from pandas import DataFrame

    from robench.engine.audit.findings import Finding
    from robench.report.compare import Comparison
    from robench.report.table import Table
    from robench.reproduction.run import Reproduction, Task

Names = str | Sequence[str] | None
"""As typed: ``"plain,rocl(steps=5)"``, or a list of such."""


@dataclass(frozen=True)
class Results(Sequence[Result]):
    """The answers of a run, in the plan's order, and why the others could not be had."""

    results: tuple[Result, ...]
    failures: tuple[str, ...]
    out: Path

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


def run(
    methods: Names = None,
    attacks: Names = None,
    *,
    preset: str = "quick",
    sources: Names = None,
    targets: Names = None,
    encoders: Names = None,
    probes: Names = None,
    seeds: Sequence[int] = (),
    norms: Names = None,
    eps: Names | float | Sequence[float] = None,
    limit: int | None = None,
    epochs: int | None = None,
    images: int | None = None,
    precision: str | None = None,
    out: Path | str | None = None,
    zoo: Path | str = "zoo",
    data: Path | str | None = None,
    device: str = "auto",
    plugins: Path | str | Sequence[Path | str] = (),
    progress: Progress = bar,
    say: Callable[[str], None] = print,
) -> Results:
    """Pretrain, probe, attack and report whatever is not known yet.

    The arguments are those of ``robench run --help``. Raises SpecError, DataError or StoreError,
    before any compute, for what does not exist or cannot be read or written.
    """
    request = Request(
        preset=preset,
        methods=specs(methods),
        attacks=specs(attacks),
        sources=specs(sources),
        targets=specs(targets),
        encoders=specs(encoders),
        probes=specs(probes),
        seeds=tuple(seeds),
        norms=words(norms),
        eps=radii(eps),
        limit=limit,
        epochs=epochs,
        images=images,
        precision=precision,
    )
    catalog = Catalog(_paths(plugins))
    evaluations = plan(request, catalog)
    store = open_store(preset, out, Path(zoo), say)
    bench = Bench(catalog, store, data_root(data), find_device(device), progress, say)
    return answer(bench, evaluations)


def reproduce(
    table: str,
    scale: str = "cpu-hour",
    *,
    seeds: Sequence[int] = (),
    out: Path | str | None = None,
    zoo: Path | str = "zoo",
    data: Path | str | None = None,
    device: str = "auto",
    plugins: Path | str | Sequence[Path | str] = (),
    progress: Progress = bar,
    say: Callable[[str], None] = print,
) -> "Reproduction":
    """Run a published table again at a scale: whatever is not known yet, beside the paper's values.

    The arguments are those of ``robench reproduce --help``. Raises SpecError, DataError or
    StoreError, before any compute, for what does not exist or cannot be read or written.
    """
    catalog = Catalog(_paths(plugins))
    asked = reproduction_task(table, scale, seeds, catalog)
    store = Store(reproduction_folder(asked, out), Path(zoo), say)
    bench = Bench(catalog, store, data_root(data), find_device(device), progress, say)
    return reproduced(asked, bench)


def reproduced(asked: "Task", bench: Bench) -> "Reproduction":
    """Run a table again, and write ``reproduction.md`` and ``.csv`` into the results folder."""
    from robench.reproduction.run import reproduce
    from robench.reproduction.write import write

    made = reproduce(asked, bench)
    with bench.reporting():
        write(made, bench.store.out)
    return made


def reproduction_task(table: str, scale: str, seeds: Sequence[int], catalog: Catalog) -> "Task":
    """What running a published table again comes to.

    Raises SpecError for what does not exist or cannot be, before any compute.
    """
    from robench.report import published
    from robench.reproduction import scales, tables
    from robench.reproduction.run import task

    found = tables.find(table), scales.find(scale)
    return task(table, *found, seeds, catalog, published.values())


def reproduction_folder(asked: "Task", out: Path | str | None) -> Path:
    """Where a reproduction's results go: ``out``, or a folder of its own for table and scale."""
    if out is not None:
        return Path(out)
    return Path("results") / "reproduce" / f"{asked.name}-{asked.scale.name}"


def answer(bench: Bench, evaluations: Sequence[Evaluation]) -> Results:
    """Answer the evaluations, and report on them and on what else is stored at the same scale.

    What is stored and has the place of one of them in the table stays out of the report. Flags that
    show only beside other cells are written into the cells of the results folder.
    """
    from robench.report.results import one_each

    bench.store.prepare()
    answered = list(bench.answers(evaluations))
    scales = {scale(evaluation, bench.catalog) for evaluation in evaluations}
    with bench.reporting():  # the last of several processes to write has read what all have found
        stored = list(bench.store.results())
        reviewed = review(stored)
        for before, after in zip(stored, reviewed, strict=True):
            if after is not before:
                bench.store.amend(after.cell)
        known = {result.cell.key: result for result in reviewed}
        results = tuple(known.get(result.cell.key, result) for result in answered)
        others = (r for r in known.values() if scale(r.cell.evaluation, bench.catalog) in scales)
        reported = one_each([*others, *results])
        if reported:
            write_report(bench.store, reported, bench.catalog)
    return Results(results, tuple(bench.failures), bench.store.out)


def report(store: Store, catalog: Catalog, say: Callable[[str], None]) -> list[Path]:
    """Write the report on the stored answers again, at the scale of the latest; returns the paths.

    ``say`` is told, in a line, what is left out. Raises SpecError where nothing is stored.
    """
    return write_report(store, latest(store, catalog, say), catalog)


def worst_case(
    attacks: Names, store: Store, catalog: Catalog, say: Callable[[str], None]
) -> "Table":
    """The table of the latest scale, with the worst case over the attacks beside them.

    The attacks are named as in the table. Nothing is computed or written. Raises SpecError where
    nothing is stored, or no model was attacked by all of them at the same norm and eps.
    """
    from robench.report.table import pivot
    from robench.report.worst_case import worst_cases

    results = latest(store, catalog, say)
    worst = worst_cases(results, [str(spec) for spec in specs(attacks)])
    return pivot([*results, *worst], scale=scale(results[0].cell.evaluation, catalog))


def compare(
    method_a: str,
    method_b: str,
    store: Store,
    catalog: Catalog,
    say: Callable[[str], None],
    worst_of: Names = None,
) -> "Comparison":
    """Compare two methods on the same images, from the stored answers; nothing is computed.

    The methods are named as in the table, or in any way that means the same; ``worst_of`` adds the
    worst case over some attacks. ``say`` is told, in a line, what is left out. Raises SpecError for
    a method of which nothing is stored, or two with nothing in common.
    """
    from robench.report import compare as comparing
    from robench.report.worst_case import worst_cases

    results = stored(store)
    methods = sorted({result.labels.method for result in results})
    a, b = (_stored_method(typed, methods, catalog) for typed in (method_a, method_b))
    if worst_of is not None:
        results += worst_cases(results, [str(spec) for spec in specs(worst_of)])
    made = comparing.compare(results, a, b, lambda evaluation: scale(evaluation, catalog))
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


def _stored_method(typed: str, known: Sequence[str], catalog: Catalog) -> str:
    """The label of a method with stored answers."""
    spec = parse(typed)
    if str(spec) in known:
        return str(spec)
    try:
        label = catalog.label("methods", str(catalog.resolve("methods", spec)))
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
    scales = [scale(result.cell.evaluation, catalog) for result in results]
    at_latest = [r for r, own in zip(results, scales, strict=True) if own == scales[-1]]
    reported = one_each(at_latest)
    others = Counter(own for own in scales if own != scales[-1])
    left = [f"{count} at {other}" for other, count in others.items()]
    if len(reported) < len(at_latest):
        left.append(f"{len(at_latest) - len(reported)} with the place of a later one")
    if left:
        say(f"reported {len(reported)} cells at {scales[-1]}; left out {'; '.join(left)}")
    return reported


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
            scale="; ".join(sorted({scale(r.cell.evaluation, catalog) for r in results})),
            metrics={name: catalog.metric(name) for name in catalog.names("metrics")},
        )
    except OSError as error:
        raise StoreError(f"cannot write the report to {store.out}: {error}") from None


def write_text(file: Path, text: str) -> None:
    """Write a text file. Raises StoreError where that cannot be done."""
    from robench.report.files import replace

    try:
        replace(file, text.encode())
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror or error}") from None


def curve(card: Card) -> Curve:
    """How the pretraining of a card went."""
    return Curve(card.method, card.source, card.encoder, card.pretraining.seed, card.losses)


def load_encoder(
    key: str, zoo: Path | str = "zoo", plugins: Path | str | Sequence[Path | str] = ()
) -> Encoder:
    """The encoder of the zoo with that key, in eval mode on the CPU.

    It takes images [B, 3, H, W] in [0, 1] to features [B, width]. Raises SpecError where the zoo
    has no such encoder, or its weights are missing or damaged.
    """
    damages: list[str] = []
    store = Store(Path("results"), Path(zoo), damages.append)
    card = find_card(store, key, damages)
    weights = store.encoder(card)
    if weights is None:
        why = " ".join(damages) or "its weights are missing; `robench run` trains it again"
        raise SpecError(f"cannot load '{key}' from {zoo}: {why}")
    return restore(Catalog(_paths(plugins)), card, weights)


def audit(
    key: str,
    bench: Bench,
    *,
    target: str | None = None,
    probe: str = "linear",
    limit: int = 200,
    eps: str = "8/255",
    autoattack: bool = True,
) -> "Iterator[Finding]":
    """Try the whole battery of checks on the encoder of the zoo with that key.

    ``target`` is the data set of the probe and of the attacks, the encoder's own by default. Raises
    SpecError, before any compute, for what does not exist or is out of range.
    """
    from robench.engine.audit.battery import audit
    from robench.engine.audit.subject import Asked

    catalog, card = bench.catalog, find_card(bench.store, key)
    radius = parse_number(eps)
    if not 0 < radius <= 1:
        raise SpecError(f"--eps {eps} is no radius in linf; give one in (0, 1], such as 8/255")
    if limit < 1:
        raise SpecError(f"--limit {limit} is too few; give 1 or more")
    source = card.pretraining.dataset
    asked = Asked(
        target=source if target is None else str(catalog.resolve("datasets", parse(target))),
        probe=str(catalog.resolve("probes", parse(probe))),
        limit=limit,
        eps=radius,
        autoattack=autoattack,
    )
    return audit(bench, card, asked)


def specs(names: Names) -> tuple[Spec, ...]:
    """Read specs from a list between commas, or from several such lists.

    Raises SpecError for an empty list, or an item that cannot be read.
    """
    if names is None:
        return ()
    texts = [names] if isinstance(names, str) else names
    return tuple(spec for text in texts for spec in parse_list(text))


def words(names: Names) -> tuple[str, ...]:
    """Read words or numbers between commas, as typed: ``"8/255,4/255"``.

    Raises SpecError where there are none.
    """
    if names is None:
        return ()
    texts = [names] if isinstance(names, str) else names
    found = tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
    if not found:
        raise SpecError("the list is empty; write one item or more, with commas between")
    return found


def radii(eps: Names | float | Sequence[float]) -> tuple[str, ...]:
    """Read radii: ``"8/255,4/255"`` as typed, and Python's ``8 / 255`` as the fraction it was.

    Raises SpecError where there are none.
    """
    if eps is None or isinstance(eps, str):
        return words(eps)
    several = [eps] if isinstance(eps, int | float) else eps
    return words([one if isinstance(one, str) else show_number(exact(one)) for one in several])


def open_store(
    preset: str, out: Path | str | None, zoo: Path, warn: Callable[[str], None]
) -> Store:
    """The store of a run: ``out``, or the preset's folder under ``results``.

    A published folder is read and left as it is, unless ``out`` names it: new cells then go to
    ``<folder>.own``.
    """
    if out is not None:
        return Store(Path(out), zoo, warn)
    folder = Path("results") / preset
    if published(folder):
        return Store(folder.with_name(f"{folder.name}.own"), zoo, warn, shelf=folder)
    return Store(folder, zoo, warn)


def data_root(data: Path | str | None) -> Path:
    """Where data sets lie: as given, else ``ROBENCH_DATA``, else ``data``."""
    return Path(data or os.environ.get("ROBENCH_DATA") or "data")


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


def _paths(files: Path | str | Sequence[Path | str]) -> list[Path]:
    return [Path(file) for file in ([files] if isinstance(files, Path | str) else files)]
