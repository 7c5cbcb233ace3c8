"""Answers to ``robench ls``: components, presets, and what is stored, as tables to read."""

import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from robench.catalog.catalog import Catalog
from robench.catalog.request import Places
from robench.contracts import Attack, Batch, Encoder, Probe
from robench.engine.known import Known
from robench.engine.reporting import made, reviewed
from robench.grid.questions import Pretraining
from robench.grid.spec import Spec, SpecError, printable, show
from robench.report.names import proper
from robench.store.store import Store
from robench.tensors.modes import preserved_random_state

KINDS = {
    "methods": "objectives of the pretraining, for --methods",
    "attacks": "attacks on a classifier, for --attacks",
    "datasets": "data sets, for --sources and --targets",
    "encoders": "architectures, for --encoders",
    "probes": "classifiers on features, for --probes",
    "metrics": "numbers from the outcome of each image, columns of results.csv",
    "presets": "named settings of a whole run, for --preset",
    "results": "cells that are stored",
    "zoo": "trained and imported encoders",
    "published": "values of papers",
}
WIDTH = 100


@dataclass(frozen=True)
class Listing:
    """Rows of text under headings; the last one is wrapped."""

    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""

    def __str__(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        out = io.StringIO()
        width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
        grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        kept = [n for n, head in enumerate(self.heads) if any(row[n] for row in self.rows)]
        for n in kept:
            grid.add_column(self.heads[n], no_wrap=n == 0, overflow="fold")
        for row in self.rows:
            grid.add_row(*(Text(printable(row[n])) for n in kept))
        console = Console(file=out, width=width, color_system=None, force_terminal=False)
        console.print(grid)
        lines = [line.rstrip() for line in out.getvalue().splitlines()]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])


def kinds() -> Listing:
    """What can be listed."""
    note = "robench ls methods lists the methods, robench ls methods rocl the arguments of one."
    return Listing(("kind", "what it lists"), tuple(KINDS.items()), note)


def components(kind: str, catalog: Catalog) -> Listing:
    """The components of a kind: a row each."""
    heads = ("name", "in papers", "passes", "what it is", "from")
    rows = []
    for name in catalog.names(kind):
        source = "" if kind == "presets" else catalog.source(kind, name)
        known = proper(name) if proper(name) != name and kind != "attacks" else ""
        passes = _passes(kind, name, catalog)
        rows.append((name, known, passes, catalog.summary(kind, name), source))
    meant = {
        "methods": "Passes: how often an image goes through the encoder in a step of the training.",
        "attacks": "Passes: how often an image goes through the encoder, there and back, at 10 "
        "classes.",
        "probes": "Passes: how often a training image goes through the encoder, there and back.",
    }
    one = catalog.names(kind)[-1]
    if kind in ("metrics", "presets"):
        more = "robench presets show NAME prints all that one sets." if kind == "presets" else ""
    else:
        more = f"Arguments: robench ls {kind} {one}"
    return Listing(heads, rows, "\n".join(filter(None, (meant.get(kind), more))))


def details(kind: str, typed: str, catalog: Catalog) -> Iterator[str]:
    """One component in full: the arguments with their defaults, and the schedule of a method.

    Raises SpecError with the nearest names where there is none.
    """
    name = catalog.named(kind, typed).name
    component = catalog.component(kind, name)
    yield f"{name}: {catalog.summary(kind, name)}"
    if source := catalog.source(kind, name):
        yield f"from {source}"
    takes = catalog.parameters(kind, name)
    rows = [(p.name, "needed" if p.required else show(p.default)) for p in takes.values()]
    yield ""
    yield str(Listing(("argument", "default"), rows)) if rows else "It takes no arguments."
    if (recipe := getattr(component, "recipe", None)) is not None:
        first = f"{recipe.epochs} epochs, batches of {recipe.batch}"
        yield f"\nIts own schedule: {first}, {recipe.optimizer}, lr {recipe.lr:g}"
    if signature := catalog.signature(kind, name):
        option = {"datasets": "sources"}.get(kind, kind)
        yield f'\nIn a command, with quotes for the shell: --{option} "{signature}"'


def zoo(places: Places, catalog: Catalog, warn: Callable[[str], None]) -> Listing:
    """The encoders of the zoo; their keys are what audit and load_encoder take."""
    rows = []
    for card in Store(Path("results"), places.zoo, warn).cards():
        asked, names = card.question, (card.name, "imported", "")
        if isinstance(asked, Pretraining):
            names = (asked.objective.name, asked.dataset.name, str(asked.recipe.epochs))
        method, data, epochs = map(proper, names)
        encoder = proper(_label(catalog, asked.encoder))
        rows.append((card.key, method, data, encoder, epochs, card.provenance.finished[:10]))
    note = "robench audit KEY tries every check on one." if rows else "robench run fills the zoo."
    return Listing(("key", "method", "data", "encoder", "epochs", "made"), sorted(rows), note)


def _label(catalog: Catalog, encoder: Spec) -> str:
    try:
        return catalog.label("encoders", encoder)
    except SpecError:  # such as a plug-in's that is not at hand
        return str(encoder)


def _passes(kind: str, name: str, catalog: Catalog) -> str:
    """The cost of a component in passes of the encoder; "" where it has none or cannot say."""
    with suppress(SpecError, TypeError, ValueError, RuntimeError, AttributeError):
        if kind == "methods":
            return f"{_calls(name, catalog):g}"
        built = catalog.build(kind, catalog.resolve(kind, name))
        if isinstance(built, Attack):
            low, high = built.passes(10)
            return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
        if isinstance(built, Probe):
            return f"{built.passes() or 1:,.0f}"
    return ""


def _calls(name: str, catalog: Catalog) -> float:
    """How often a method passes an image through its encoder in one step, counted in a step."""
    images, counted = torch.rand(4, 3, 16, 16), [0]

    def count(_: nn.Module, given: tuple[Tensor, ...], __: Any) -> None:
        counted[0] += len(given[0])

    with preserved_random_state():
        encoder = catalog.build("encoders", catalog.resolve("encoders", "resnet8(width=2)"))
        assert isinstance(encoder, Encoder)
        encoder.register_forward_hook(count)
        method = catalog.build_objective(catalog.resolve("methods", name), encoder)
        index = torch.arange(len(images))
        labels = index % 2 if method.uses_labels else None
        method(Batch(images, index, labels, 0, 1, 0.0, Generator().manual_seed(0)))
    return counted[0] / len(images)


def results(places: Places, catalog: Catalog, warn: Callable[[str], None]) -> Iterator[str]:
    """A line for each stored cell in ``out``, or else in every folder of results.

    Raises SpecError where ``out`` has none.
    """
    out = places.out
    if out and not (out / "cells").is_dir():
        raise SpecError(f"no results in {out}; robench run --out {out} makes some")
    folders = [out] if out else sorted(path.parent for path in Path("results").glob("**/cells"))
    if not folders:
        yield "no results yet; robench run makes some"
    for folder in folders:
        store = Store(folder, places.zoo, warn, labels=catalog.labels)
        found = reviewed(Known(catalog, store, warn))
        for result in sorted(found, key=lambda result: result.cell.key):
            labels = result.labels
            attack = " ".join(filter(None, (labels.attack, result.norm, result.eps)))
            flags = f", flagged {'; '.join(result.flags)}" if result.flags else ""
            yield (
                f"{100 * result.correct / result.n:5.1f}%  {labels.method} {labels.source} -> "
                f"{labels.target}, {attack}, seed {result.seed}, n {result.n}{flags}  "
                f"{result.cell.key}"
            )
        yield f"{folder}: {made(found) if found else 'no cells'}"
