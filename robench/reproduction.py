"""Published tables run again: the published values beside the measured ones, at a named scale."""

import dataclasses
import math
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import chain, groupby, pairwise, product
from textwrap import fill

from robench.catalog.catalog import Catalog
from robench.catalog.plan import grid
from robench.catalog.request import Request
from robench.catalog.typed import specs
from robench.engine.bench import Bench
from robench.engine.estimate import cost, estimate
from robench.engine.reporting import answer_each, flagged
from robench.grid.questions import Evaluation
from robench.grid.records import Result
from robench.grid.spec import SpecError, nearest
from robench.papers import SCALES, PaperRow, PaperTable, Scale, find
from robench.report.published import MEANINGS, Published
from robench.report.ranking import SIGNIFICANT, p_value
from robench.report.render import WIDTH, comma_separated, markdown_escape, one_line, shown
from robench.report.render import markdown as markdown_table
from robench.report.table import Note, Number, Row, Table, images_of, number
from robench.trust.statistics import Interval, wilson

REDUCED = (
    "**A reduced scale.** These numbers are not those of the paper's settings, and nothing here "
    "says whether the paper's numbers can be had again. What they can say is which ranking of "
    "methods held."
)
FULL = (
    "**The full scale**: the paper's settings as the presets have them. For each checked value the "
    "table says whether it lies in the interval of the measured one, and no more than that."
)
_ONE = "95% interval: Wilson's, over test images; another training would differ by more."
_SEVERAL = "±: standard deviation over seeds. 95% interval: of one more training, by Student's t."
_P = "p: exact McNemar on the same images, not corrected for the number of comparisons."
_NO_RANKING = "No two of the measured methods have published values, so no ranking can hold."


class Position(Enum):
    """The position of a published value, if a statement on it can be made."""

    INSIDE = "in the interval"
    ABOVE = "above the interval"
    BELOW = "below the interval"
    UNVERIFIED = "? no statement"
    FLAGGED = "no statement (flagged)"


@dataclass(frozen=True)
class Place:
    """A cell of a published table: its value, and the evaluations that measure it, by seed.

    ``published`` is None where no value is known, ``evaluations`` are empty where nothing is run,
    and ``full`` are the same at full scale. ``results`` are by seed.
    """

    row: PaperRow
    source: str
    target: str
    column: str
    published: Published | None
    evaluations: tuple[Evaluation, ...]
    full: tuple[Evaluation, ...]
    results: Mapping[int, Result] = dataclasses.field(default_factory=dict)

    @cached_property
    def measured(self) -> Number | None:
        """The accuracy in percent, with its standard deviation over seeds and its flags."""
        return number(self.results.values()) if self.results else None

    @property
    def interval(self) -> Interval | None:
        """Wilson's 95% interval of one seed, in percent.

        Of several it is the interval in which one more training would lie with a probability of
        95%, by Student's t: the published value is of one training too.
        """
        if self.measured is None:
            return None
        if self.measured.sd is None:
            (only,) = self.results.values()
            low, high = wilson(only.correct, only.n)
            return Interval(100 * low, 100 * high)
        from scipy.stats import t

        seeds, mean, sd = len(self.results), self.measured.value, self.measured.sd
        half = float(t.ppf(0.975, seeds - 1)) * sd * math.sqrt(1 + 1 / seeds)
        return Interval(max(0.0, mean - half), min(100.0, mean + half))

    @property
    def doubtful(self) -> bool:
        """True if a flag forbids statements."""
        return self.measured is not None and bool(self.measured.flags)

    @property
    def difference(self) -> Number | None:
        """Measured less published, in points."""
        if self.measured is None or self.published is None:
            return None
        points = self.measured.value - float(self.published.value)
        return Number(points, flags=self.measured.flags, mark=self.published.mark)

    @property
    def position(self) -> Position | None:
        """The position of the published value in the interval; None without either."""
        if self.interval is None or self.published is None:
            return None
        if not self.published.verified:
            return Position.UNVERIFIED
        if self.doubtful:
            return Position.FLAGGED
        value = float(self.published.value)
        if value > self.interval.high:
            return Position.ABOVE
        return Position.BELOW if value < self.interval.low else Position.INSIDE


class Verdict(Enum):
    """The outcome of a published ranking of two methods."""

    HELD = "held"
    REVERSED = "reversed"
    TIED = "not distinguished here"
    EQUAL = "equal as published"
    FLAGGED = "no statement, a measured value is flagged"


@dataclass(frozen=True)
class RankingCheck:
    """Two neighbours in the published ranking of a column's methods; the higher value first."""

    higher: Place
    lower: Place

    @cached_property
    def p(self) -> float | None:
        """Exact McNemar's p on the same images; None where they share none."""
        return p_value(self.higher.results, self.lower.results)

    @property
    def verified(self) -> bool:
        """True if both published values are, so that a statement may rest on them."""
        values = (self.higher.published, self.lower.published)
        return all(value is not None and value.verified for value in values)

    @property
    def verdict(self) -> Verdict:
        """The measured values against this ranking."""
        if self.higher.doubtful or self.lower.doubtful:
            return Verdict.FLAGGED
        if _published(self.higher) == _published(self.lower):
            return Verdict.EQUAL
        if self.p is None or self.p > SIGNIFICANT:
            return Verdict.TIED
        return Verdict.HELD if _mean(self.higher) > _mean(self.lower) else Verdict.REVERSED


@dataclass(frozen=True)
class Reproduction:
    """A published table at a scale; its places have results once it has run.

    ``reduced`` says for some methods which settings of the paper the scale changes, and to what.
    """

    name: str
    scale: str
    table: PaperTable
    places: tuple[Place, ...]
    reduced: tuple[str, ...]
    failures: tuple[str, ...] = ()

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every evaluation at the scale, once; those that share an encoder are together."""
        return _once(evaluation for place in self.places for evaluation in place.evaluations)

    @cached_property
    def rankings(self) -> tuple[RankingCheck, ...]:
        """Neighbours in the published ranking of each column's methods."""
        columns: dict[tuple[str, str, str], list[Place]] = {}
        for place in self.places:
            if place.results and place.published:
                columns.setdefault((place.source, place.target, place.column), []).append(place)
        ranked = (sorted(group, key=_published, reverse=True) for group in columns.values())
        return tuple(RankingCheck(*two) for group in ranked for two in pairwise(group))


def _mean(place: Place) -> float:
    return math.nan if place.measured is None else place.measured.value


def _published(place: Place) -> float:
    return math.nan if place.published is None else float(place.published.value)


def _once(evaluations: Iterable[Evaluation]) -> tuple[Evaluation, ...]:
    shared: dict[object, dict[Evaluation, None]] = {}
    for evaluation in evaluations:
        shared.setdefault(evaluation.probing.pretraining, {})[evaluation] = None
    return tuple(chain(*shared.values()))


# --- from a name to results


def planned(
    name: str,
    scale: str,
    seeds: Sequence[int],
    catalog: Catalog,
    published: Iterable[Published],
) -> Reproduction:
    """A table at a scale, before it has run. Without ``seeds`` the presets' are used.

    Raises SpecError for what does not exist or cannot be, before any compute.
    """
    table = find(name)
    if scale not in SCALES:
        raise SpecError(f"no scale '{scale}'; {nearest(scale, list(SCALES))}")
    values = {
        (value.method, value.protocol, value.source, value.target, _column(value)): value
        for value in published
        if value.paper == table.paper and value.table in table.tables
    }
    places = []
    for (source, target), row in product(table.transfers, table.rows):
        request = Request(
            sources=specs("source", source),
            targets=specs("target", target),
            attacks=specs("attacks", [*table.columns.values()]),
            seeds=tuple(seeds),
        )
        here, full = (_grid(row, request, SCALES[one], catalog) for one in (scale, "full"))
        for place, column in enumerate(table.columns):
            value = values.get((row.method, row.protocol, source, target, column))
            # The grid has seeds outside and attacks inside, in the order of the columns.
            each = slice(place, None, len(table.columns))
            places.append(Place(row, source, target, column, value, here[each], full[each]))
    reduced = _reduced(places, SCALES[scale].limit, catalog)
    return Reproduction(name, scale, table, tuple(places), reduced)


def _column(value: Published) -> str:
    attack = value.attack.removesuffix("20")  # 20 steps are the default of `pgd`
    return " ".join(word for word in (attack, value.norm, value.eps) if word)


def _grid(
    row: PaperRow, request: Request, scale: Scale, catalog: Catalog
) -> tuple[Evaluation, ...]:
    if row.not_run:
        return ()
    request = dataclasses.replace(
        request,
        methods=specs("method", row.runs),
        probes=specs("probe", row.probe) if row.probe else (),
        epochs=scale.epochs,
        precision=scale.precision,
    )
    return grid(request, scale.applied(catalog.preset(row.preset)), catalog)


def _reduced(places: Iterable[Place], limit: int | None, catalog: Catalog) -> tuple[str, ...]:
    """The settings that a scale changes: ``RoCL: pretraining epochs 10 for 1000``."""
    methods: dict[str, dict[str, None]] = {}
    for place in places:
        for here, full in zip(place.evaluations, place.full, strict=True):
            own, paper = _settings(here, limit, catalog), _settings(full, None, catalog)
            changed = [
                f"{one} {own[one]} for {paper[one]}" for one in own if own[one] != paper[one]
            ]
            methods.setdefault("; ".join(changed), {})[place.row.method] = None
    return tuple(f"{', '.join(names)}: {changed}" for changed, names in methods.items() if changed)


def _settings(evaluation: Evaluation, limit: int | None, catalog: Catalog) -> dict[str, str]:
    probing, training = evaluation.probing, evaluation.probing.pretraining
    settings = {
        "method": catalog.label("methods", training.objective),
        "encoder": catalog.label("encoders", training.encoder),
        **{f"pretraining {name.replace('_', ' ')}": v for name, v in vars(training.recipe).items()},
        "probe": catalog.label("probes", probing.probe),
        "images to probe on": probing.images,
        "test images": limit,
    }
    return {name: "all" if value is None else str(value) for name, value in settings.items()}


def dry_run(made: Reproduction, bench: Bench) -> Iterator[str]:
    """The plan in lines: what is reduced, cached and to compute, the time here and at full scale.

    Nothing is written.
    """
    yield f"{made.name} at {made.scale}: {made.table.title}"
    yield from (f"  reduced for {reduced}" for reduced in made.reduced)
    yield from estimate(bench, made.evaluations, SCALES[made.scale].limit)
    if made.scale != "full":
        full = _once(evaluation for place in made.places for evaluation in place.full)
        yield f"at full scale {cost(bench, full, None)} from nothing, on {bench.device}"


def reproduce(made: Reproduction, bench: Bench) -> Reproduction:
    """Run what is missing; the reproduction with its results."""
    bench.store.prepare()
    found, failures, _ = answer_each(bench, made.evaluations, SCALES[made.scale].limit)
    return measured(made, flagged(bench.known, found), failures)


def measured(
    made: Reproduction, results: Iterable[Result], failures: Iterable[str] = ()
) -> Reproduction:
    """The reproduction with these results at their places."""
    known = {result.cell.evaluation: result for result in results}
    places = []
    for place in made.places:
        own = {known[one].seed: known[one] for one in place.evaluations if one in known}
        places.append(dataclasses.replace(place, results=own))
    return dataclasses.replace(made, places=tuple(places), failures=tuple(failures))


# --- reading


def table(made: Reproduction) -> Table:
    """The published value of each place beside the measured one, as a table of the report."""
    full = ("the published value is",) if made.scale == "full" else ()
    return Table(
        caption=made.table.title,
        names=("method", "source → target", "attack", "published"),
        columns=("measured", "difference", "95% interval", "n", *full),
        groups=(tuple(_row(place, len(full)) for place in made.places),),
        notes=tuple(_notes(made)),
    )


def _row(place: Place, positions: int) -> Row:
    published = "–" if place.published is None else str(place.published)
    names = (place.row.method, f"{place.source} → {place.target}", place.column, published)
    measured = place.measured or ("not run" if place.row.not_run else "failed")
    interval = place.interval and "{:.1f} to {:.1f}".format(*place.interval)
    n = images_of(place.results.values()) or None
    position = place.position and place.position.value
    return Row(names, (measured, place.difference, interval, n, *[position] * positions))


def _notes(made: Reproduction) -> Iterator[Note]:
    marks = {place.published.mark for place in made.places if place.published}
    yield from (Note(mark, meaning) for mark, meaning in MEANINGS.items() if mark in marks)
    seeds = {len(place.results) for place in made.places} - {0}
    yield from [Note("", _ONE)] * (1 in seeds) + [Note("", _SEVERAL)] * bool(seeds - {1})
    for reason, rows in groupby(made.table.rows, lambda row: row.not_run):
        if reason:
            yield Note("", f"Not run: {', '.join(row.method for row in rows)} ({reason}).")
    yield from (Note("", remark) for remark in made.table.remarks)


def markdown(made: Reproduction) -> str:
    """The scale, the table, the rankings and the sources, as Markdown."""
    return "\n\n".join(_parts(made, markdown_table, markdown_escape)) + "\n"


def text(made: Reproduction) -> str:
    """The same for a terminal, where tables are boxes."""
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    parts = []
    for part in _parts(made, shown, one_line):
        lines = re.sub(r"^#+ |\*\*|`", "", part).splitlines()
        boxed = "│" in part
        parts.append(part if boxed else "\n".join(fill(line, width) for line in lines))
    return "\n\n".join(parts) + "\n"


def _parts(
    made: Reproduction, show: Callable[[Table], str], escape: Callable[[str], str]
) -> list[str]:
    values = [place.published for place in made.places if place.published]
    sources = dict.fromkeys(f"{v.confidence}: {v.table}, {v.source_text}" for v in values)
    presets = dict.fromkeys(row.preset for row in made.table.rows if row.preset)

    def listed(head: str, items: Iterable[str]) -> list[str]:
        lines = [f"- {escape(item)}" for item in items]
        return [head, "\n".join(lines)] if lines else []

    return [
        f"# {made.name} at {made.scale}",
        FULL if made.scale == "full" else REDUCED,
        f"Presets: {', '.join(presets)}; `robench presets show NAME` prints their settings.",
        *listed("Reduced for this scale:", made.reduced),
        show(table(made)).rstrip(),
        "## Which ranking of methods held",
        show(rankings(made)).rstrip() if made.rankings else _NO_RANKING,
        *listed("Sources of the published values:", sources),
        *listed("Failed:", made.failures),
    ]


def rankings(made: Reproduction) -> Table:
    """Each two neighbours in the published ranking, with what they were found to be."""
    rows = []
    for check in made.rankings:
        two = (f"{one.row.method} {one.published}" for one in (check.higher, check.lower))
        p = None if check.p is None else f"{check.p:.2g}"
        found = check.verdict.value + ("" if check.verified else " ?")
        transfer = f"{check.higher.source} → {check.higher.target}"
        rows.append(Row((transfer, check.higher.column), (*two, p, found)))
    return Table(
        caption=_summary(made.rankings),
        names=("source → target", "attack"),
        columns=("higher as published", "lower", "p", "found here"),
        groups=tuple(tuple(group) for _, group in groupby(rows, lambda row: row.names)),
        notes=(Note("", _P),),
    )


def _summary(checks: Sequence[RankingCheck]) -> str:
    verdicts = [check.verdict for check in checks if check.verified]
    counts = [f"{verdicts.count(one)} {one.value}" for one in Verdict if one in verdicts]
    first = f"{len(verdicts)} published rankings rest on two checked values: {', '.join(counts)}."
    if not verdicts:
        first = "No ranking rests on two checked values."
    rest = f"{len(checks) - len(verdicts)} rest on an unverified value and are marked with ?: they "
    return f"{first} {rest}say nothing of the paper." if len(checks) > len(verdicts) else first


def texts(made: Reproduction) -> dict[str, str]:
    """The contents of a reproduction's files, by name."""
    return {"reproduction.md": markdown(made), "reproduction.csv": comma_separated(table(made))}
