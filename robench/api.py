"""The functions behind the command line and ``robench.run(...)`` in a notebook."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from robench import reproduction
from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan, reach
from robench.catalog.request import OPTIONS, PLACES, STORED, Places, Request, keywords
from robench.catalog.scale import schedules
from robench.catalog.typed import Names, spec, specs
from robench.contracts import Encoder, Progress
from robench.engine.known import Known
from robench.engine.local import reporting
from robench.engine.places import Say, make_bench, open_store
from robench.engine.progress import bar, silent
from robench.engine.reporting import (
    Report,
    answer,
    compared,
    latest,
    scales,
    size,
    stored,
    stored_method,
    write_report,
)
from robench.engine.restore import find_card, restore
from robench.grid.questions import Pretraining, Probing, Source
from robench.grid.records import CODE, Card
from robench.grid.spec import Spec, SpecError, parse_number
from robench.report import compare as comparing
from robench.report import published
from robench.report.notebook import Results as Results
from robench.report.pivot import pivot
from robench.report.results import Order
from robench.report.table import Table
from robench.report.worst_case import worst_cases
from robench.report.write import save
from robench.store.store import Store

if TYPE_CHECKING:
    from robench.engine.adapt import Adapted
    from robench.engine.audit import Finding
    from robench.engine.measure import Measured
    from robench.engine.race import Verdict


@keywords(*OPTIONS)
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
    bench = make_bench(places, Path("results", request.preset), progress, say, warn or say)
    evaluations = plan(request, bench.catalog, partial(_source, bench.store))
    others = {str(Path("results", name)) for name in bench.catalog.names("presets")}
    if str(places.out) in others - {str(Path("results", request.preset))}:
        (warn or say)(f"{places.out} is the folder of another preset than {request.preset}")
    bench.store.prepare()
    for line in schedules(evaluations, request, bench.catalog):
        say(line)
    return answer(bench, evaluations, reach(request, bench.catalog))


@keywords(*OPTIONS)
def race(
    request: Request,
    *,
    places: Places,
    alpha: float = 0.05,
    progress: Progress = bar,
    say: Say = print,
    warn: Say | None = None,
) -> "Iterator[Verdict]":
    """Attack the methods batch after batch until they are told apart, or the test set ends.

    The test is valid however often one looks (`robench.trust.betting`). The cells are those of
    `run`, and may grow later. Raises SpecError, before any compute, for what does not exist.
    """
    from robench.engine.race import race

    bench = make_bench(places, Path("results", request.preset), progress, say, warn or say)
    evaluations = plan(request, bench.catalog, partial(_source, bench.store))
    bench.store.prepare()
    return race(bench, evaluations, reach(request, bench.catalog), alpha)


def _source(store: Store, name: str) -> Source:
    return find_card(store, name).question


@keywords(*OPTIONS)
def train_along(request: Request, *, places: Places) -> None:
    """Take part in the pretrainings of `run` in another process, as ``torchrun`` starts them."""
    from robench.engine.ranks import follow

    folder = Path("results", request.preset)
    follow(make_bench(places, folder, silent, lambda line: None, lambda line: None))


@keywords(*OPTIONS)
def dry_run(request: Request, *, places: Places, warn: Say = print) -> Iterator[str]:
    """The plan of `run` in lines: schedules, what is cached, and rough times. Nothing is written.

    Raises SpecError as `run` does.
    """
    from robench.engine.estimate import estimate

    bench = make_bench(places, Path("results", request.preset), bar, warn, warn)
    evaluations = plan(request, bench.catalog, partial(_source, bench.store))
    yield from schedules(evaluations, request, bench.catalog)
    yield from estimate(bench, evaluations, reach(request, bench.catalog))


@keywords("seeds", *PLACES)
def reproduce(
    table: str,
    scale: str = "cpu-hour",
    *,
    request: Request,
    places: Places,
    progress: Progress = bar,
    say: Say = print,
    warn: Say | None = None,
) -> reproduction.Reproduction:
    """Run a published table again at a scale, and set its values beside the measured ones.

    ``reproduction.md`` and ``.csv`` are written into the results folder. Raises SpecError,
    DataError or StoreError, before any compute, for what does not exist or cannot be read or
    written.
    """
    bench = make_bench(places, _folder(table, scale), progress, say, warn or say)
    task = reproduction.planned(table, scale, request.seeds, bench.catalog, published.values())
    made = reproduction.reproduce(task, bench)
    with reporting(bench):
        for name, text in reproduction.texts(made).items():
            save(bench.store.out / name, text.encode())
    return made


@keywords("seeds", *PLACES)
def dry_run_of(
    table: str, scale: str, *, request: Request, places: Places, warn: Say = print
) -> Iterator[str]:
    """The plan of `reproduce` in lines. Nothing is written; raises SpecError as it does."""
    bench = make_bench(places, _folder(table, scale), bar, warn, warn)
    made = reproduction.planned(table, scale, request.seeds, bench.catalog, published.values())
    yield from reproduction.dry_run(made, bench)


def _folder(table: str, scale: str) -> Path:
    return Path("results", "reproduce", f"{table}-{scale}")


@keywords("attacks", "norms", "eps", "limit", *PLACES)
def evaluate(
    checkpoint: Path | str,
    dataset: str,
    encoder: str | None = None,
    *,
    request: Request,
    places: Places,
    preset: str = "cifar",
    probe: str | None = None,
    stem: str | None = None,
    normalize: str | None = None,
    prefix: str | None = None,
    branch: str | None = None,
    progress: Progress = bar,
    say: Say = print,
    warn: Say | None = None,
) -> Results:
    """Attack somebody else's model: a checkpoint in safetensors, or as torch.save writes it.

    Its encoder goes into the zoo, and its results stand beside those of runs with the preset. What
    is not given of encoder, ``stem`` and ``normalize`` is read from the file, and so is its own
    classifier where no ``probe`` is given. ``prefix`` chooses one of several encoders, ``branch``
    one of two BatchNorm branches. Raises SpecError, DataError or StoreError, before any compute,
    for what does not exist or cannot be read or written.
    """
    from robench.engine import imported

    warn = warn or say
    bench = make_bench(places, Path("results", preset), progress, say, warn)
    data, typed = (spec("dataset", dataset),), imported.typed_encoder(encoder, stem, normalize)
    loaded = imported.read_encoder(Path(checkpoint), typed, bench.catalog, branch, prefix)
    asked = replace(
        request,
        preset=preset,
        methods=(Spec("supervised"),),  # it stands for any, with a head of its own or without
        sources=data,
        targets=data,
        encoders=(loaded.question.encoder,),
        probes=() if probe is None else specs("probe", probe),
        seeds=(0,),
    )
    planned = plan(asked, bench.catalog, partial(_source, bench.store))
    own = imported.take_in(loaded, planned, bench, typed=probe is not None)
    answered = answer(bench, own, reach(asked, bench.catalog))
    for line in imported.doubts(loaded, answered):
        warn(line)
    return answered


@keywords(*STORED)
def report(*, request: Request, places: Places, say: Say = print) -> Report:
    """Write tables and figures again from the stored cells at the scale of the latest one.

    Returns the table, the paths of the files, and a line for each metric that fails. ``say`` is
    called with what is left out. Raises SpecError where nothing is stored.
    """
    known, order = _stored_cells(request, places, say)
    return write_report(known, latest(known), order)


@keywords(*STORED)
def worst_case(attacks: Names, *, request: Request, places: Places, say: Say = print) -> Table:
    """The table of the latest scale, with the worst case over the attacks, image by image.

    Attacks are named as in the table. Nothing is computed or written. Raises SpecError where
    nothing is stored, or no model was attacked by all of them at the same norm and eps.
    """
    known, order = _stored_cells(request, places, say)
    results = latest(known)
    worst = worst_cases(results, [*map(str, specs("attacks", attacks))], known.catalog.attack)
    return pivot([*results, *worst], scale=scales(results, known), order=order)


@keywords(*STORED)
def members(*, request: Request, places: Places, say: Say = print) -> Table:
    """What each attack of AutoAttack took that those before it had left, in the stored cells.

    Raises SpecError where there are none of it without a flag.
    """
    from robench.report.members import members

    known, _ = _stored_cells(request, places, say)
    try:
        return members(stored(known))
    except ValueError as error:
        raise SpecError(str(error)) from None


@keywords(*STORED)
def corruptions(*, request: Request, places: Places, say: Say = print) -> Table:
    """The mean accuracy under 15 corruptions for each severity, from the stored cells.

    Raises SpecError where there are none.
    """
    from robench.report.corruptions import corruption_table

    known, order = _stored_cells(request, places, say)
    try:
        return corruption_table(stored(known), order)
    except ValueError as error:
        raise SpecError(str(error)) from None


@keywords(*STORED)
def compare(
    method_a: str,
    method_b: str,
    *,
    worst_case: Names | None = None,
    request: Request,
    places: Places,
    say: Say = print,
) -> comparing.Comparison:
    """Compare two methods on the same images, from the stored cells; nothing is computed.

    Methods are named as in the table, or in any way that means the same. ``worst_case`` adds the
    worst case over some attacks. ``say`` is called with what is left out. Raises SpecError for a
    method without stored cells, or two with nothing in common.
    """
    known, order = _stored_cells(request, places, say)
    results, catalog = stored(known), known.catalog
    methods = sorted({result.labels.method for result in results})
    a, b = (stored_method(typed, methods, catalog) for typed in (method_a, method_b))
    if worst_case is not None:
        names = [*map(str, specs("attacks", worst_case))]
        results += worst_cases(results, names, catalog.attack)
    made = comparing.compare(results, a, b, partial(size, known), order)
    say(compared(made))
    return made


def _stored_cells(request: Request, places: Places, warn: Say) -> tuple[Known, Order]:
    """The stored answers, compared without their data, and the preset's order of names."""
    catalog = Catalog(places.plugins)
    order = Order(map(catalog.labels, plan(request, catalog)))
    store = open_store(places, Path("results", request.preset), catalog, warn)
    return Known(catalog, store, warn, older_code=places.accept_older_code), order


@keywords("zoo", "plugins")
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


@keywords("zoo", "data", "device", "plugins")
def load_model(
    key: str,
    *,
    probe: str = "linear",
    target: str | None = None,
    places: Places,
    progress: Progress = bar,
    say: Say = print,
    warn: Say | None = None,
) -> nn.Module:
    """The classifier of the encoder of the zoo with that key, for any attack package.

    It takes images [B, 3, H, W] in [0, 1] to logits [B, K], in eval mode, on the device; its
    weights take no gradients. ``target`` is the data set that it classifies, by default the one the
    encoder was trained on. The probe is read from the zoo, or else fitted on that data set and kept
    there. Raises SpecError, DataError or StoreError for what does not exist or cannot be read.
    """
    warn = warn or say
    load_encoder(key, places=places)  # or else missing weights would be trained again
    places = replace(places, accept_older_code=True)
    bench = make_bench(places, Path("results"), progress, say, warn)
    probing = _probing(bench.catalog, find_card(bench.store, key), probe, target)
    model = bench.classifier(probing).requires_grad_(False)
    if older := ", ".join(sorted(what.removeprefix(CODE) for what in bench.known.accepted)):
        warn(f"{key} was made by other code than today's, of {older}")
    return model


def _probing(catalog: Catalog, card: Card, probe: str, target: str | None) -> Probing:
    """The classifier of a card's encoder; an imported one needs a ``target``."""
    source, dataset = _dataset(catalog, card, target)
    images = source.recipe.images if isinstance(source, Pretraining) else None
    return Probing(source, catalog.resolve("probes", probe), dataset, images)


def _dataset(catalog: Catalog, card: Card, target: str | None) -> tuple[Source, Spec]:
    """A card's encoder, and the ``target`` or else the data set that it was trained on."""
    source = card.question
    own = source.dataset if isinstance(source, Pretraining) else None
    typed = own if target is None else target
    if typed is None:
        raise SpecError(f"{card.key} is imported: give the data set with target (--target)")
    return source, catalog.resolve("datasets", typed)


@keywords("limit", "eps", "zoo", "data", "device", "plugins", "debug")
def audit(
    key: str,
    *,
    request: Request,
    places: Places,
    target: str | None = None,
    probe: str = "linear",
    autoattack: bool = True,
    progress: Progress = bar,
    say: Say = print,
    warn: Say | None = None,
) -> "Iterator[Finding]":
    """Try every check on the encoder of the zoo with that key, in linf.

    On 200 test images at 8/255, if nothing else is given. ``target`` is the data set of the probe
    and of the attacks, the encoder's own by default. Raises SpecError, before any compute, for what
    does not exist or is out of range.
    """
    from robench.engine.audit import audit

    bench = make_bench(places, Path("results"), progress, say, warn or say)
    card = find_card(bench.store, key)
    limit, eps = request.limit or 200, ",".join(request.eps) or "8/255"
    radius = parse_number(eps)
    if not 0 < radius <= 1:
        raise SpecError(f"--eps {eps} is not a radius in linf; give one in (0, 1], such as 8/255")
    probing = _probing(bench.catalog, card, probe, target)
    say(f"{key}: probe {probe}, {limit} test images, linf, eps {eps}")
    return audit(bench, card, probing, limit, radius, () if autoattack else ("AutoAttack",))


@keywords("limit", "eps", "zoo", "data", "device", "plugins", "debug")
def measure(
    key: str,
    *,
    request: Request,
    places: Places,
    target: str | None = None,
    progress: Progress = bar,
    say: Say = print,
    warn: Say | None = None,
) -> "Iterator[Measured]":
    """Measure the features of the encoder of the zoo with that key, clean and attacked in linf.

    On 1,000 test images and at 8/255, if nothing else is given; ``target`` is the data set, the
    encoder's own by default. Nothing is stored. Raises SpecError for what does not exist or is out
    of range.
    """
    from robench.engine.measure import measure

    bench = make_bench(places, Path("results"), progress, say, warn or say)
    source, dataset = _dataset(bench.catalog, find_card(bench.store, key), target)
    radius = parse_number(",".join(request.eps) or "8/255")
    if not 0 < radius <= 1:
        raise SpecError(f"eps={radius} is not a radius in linf; give one in (0, 1], such as 8/255")
    return measure(bench, source, dataset, request.limit or 1000, radius)


@keywords("limit", "zoo", "data", "device", "plugins", "debug")
def adapt(
    key: str,
    *,
    request: Request,
    places: Places,
    target: str | None = None,
    probe: str = "linear",
    progress: Progress = bar,
    say: Say = print,
    warn: Say | None = None,
) -> "Iterator[Adapted]":
    """The accuracy under corruptions of a probe on the encoder with that key, adapting or not.

    On 1,000 test images, if nothing else is given. Only the probe is stored. Raises SpecError for
    what does not exist.
    """
    from robench.engine.adapt import adapt

    bench = make_bench(places, Path("results"), progress, say, warn or say)
    probing = _probing(bench.catalog, find_card(bench.store, key), probe, target)
    return adapt(bench, probing, request.limit or 1000)
