"""One published table, run again at one scale."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from robench.catalog.catalog import Catalog
from robench.catalog.plan import scale as scale_in_words
from robench.engine.bench import Bench
from robench.engine.estimate import Cost, cost, estimate
from robench.grid.questions import Evaluation
from robench.report.published import Published
from robench.reproduction.cuts import cuts
from robench.reproduction.full_cost import remembered
from robench.reproduction.grid import Place, places
from robench.reproduction.lines import Line, lines
from robench.reproduction.orders import Order, orders
from robench.reproduction.scales import FULL, Scale
from robench.reproduction.tables import PaperTable, Settings
from robench.trust.review import review


@dataclass(frozen=True)
class Reproduction:
    """What was published beside what was measured, and all that must be said about it.

    ``cuts`` are pairs of the methods and what the scale cut for them, ``settings`` say what was run
    for each row, ``full_cost`` is the time of the same table at full scale on ``device``.
    """

    name: str
    table: PaperTable
    scale: Scale
    lines: tuple[Line, ...]
    orders: tuple[Order, ...]
    cuts: tuple[tuple[str, str], ...]
    settings: tuple[str, ...]
    full_cost: Cost
    device: str
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A table to be run at a scale: its places there, and the same at full scale."""

    name: str
    table: PaperTable
    scale: Scale
    places: tuple[Place, ...]
    full: tuple[Place, ...]

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every evaluation at the scale, once; those that share an encoder are together."""
        return _evaluations(self.places)

    @property
    def at_full_scale(self) -> tuple[Evaluation, ...]:
        """Every evaluation at full scale, once."""
        return _evaluations(self.full)


def task(
    name: str,
    table: PaperTable,
    scale: Scale,
    seeds: Sequence[int],
    catalog: Catalog,
    published: Sequence[Published],
) -> Task:
    """What running a table again comes to.

    Raises SpecError for what does not exist or cannot be, before any compute.
    """
    here, full = (places(table, one, seeds, catalog, published) for one in (scale, FULL))
    return Task(name, table, scale, here, full)


def reproduce(task: Task, bench: Bench) -> Reproduction:
    """Run what is missing, and set the published values beside the measured ones."""
    bench.store.prepare()
    answered = list(bench.answers(task.evaluations, task.scale.limit))
    answers = {result.cell.evaluation: result for result in review(answered)}
    made = lines(task.places, answers)
    return Reproduction(
        name=task.name,
        table=task.table,
        scale=task.scale,
        lines=made,
        orders=orders(made),
        cuts=_cuts(task, bench.catalog),
        settings=_settings(task.places, task.scale.limit, bench.catalog),
        full_cost=remembered(bench, task.at_full_scale),
        device=str(bench.device),
        failures=tuple(bench.failures),
    )


def dry_run(task: Task, bench: Bench) -> Iterator[str]:
    """The plan in lines: what is cut, cached and to compute, and the time here and at full scale.

    Nothing is written.
    """
    yield f"{task.name} at {task.scale.name}: {task.table.title}"
    for who, cut in _cuts(task, bench.catalog):
        yield f"  cut for {who}: {cut}"
    yield from estimate(bench, task.evaluations, task.scale.limit)
    if not task.scale.full:
        whole = cost(bench, task.at_full_scale, None)
        yield f"at full scale {whole} from nothing, on {bench.device}"


def _evaluations(places: Iterable[Place]) -> tuple[Evaluation, ...]:
    found = [evaluation for place in places for evaluation in place.evaluations]
    trainings = list(dict.fromkeys(evaluation.probing.pretraining for evaluation in found))
    return tuple(sorted(dict.fromkeys(found), key=lambda e: trainings.index(e.probing.pretraining)))


def _cuts(task: Task, catalog: Catalog) -> tuple[tuple[str, str], ...]:
    told: dict[str, list[str]] = {}
    for place, full in zip(task.places, task.full, strict=True):
        for evaluation, whole in zip(place.evaluations, full.evaluations, strict=True):
            cut = cuts(evaluation, whole, task.scale.limit, catalog)
            names = told.setdefault("; ".join(cut), [])
            names += [] if place.row.method in names else [place.row.method]
    return tuple((", ".join(names), cut) for cut, names in told.items() if cut)


def _settings(places: Iterable[Place], limit: int | None, catalog: Catalog) -> tuple[str, ...]:
    told: Mapping[str, None] = {}
    for place in places:
        if not isinstance(place.row.runs, Settings):
            continue
        for evaluation in place.evaluations:
            probing = evaluation.probing
            told = {
                **told,
                f"{place.row.method}: {catalog.label('methods', probing.pretraining.objective)} on "
                f"{catalog.label('encoders', probing.pretraining.encoder)}, probe "
                f"{catalog.label('probes', probing.probe)}, preset {place.row.runs.preset}; "
                f"{scale_in_words(evaluation, limit, catalog)}": None,
            }
    return tuple(told)
