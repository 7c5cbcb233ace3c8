"""What a notebook calls, and the command line too."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import torch

from robench.answers import Card, Curve, Examples, Result
from robench.bench import Bench, restore
from robench.catalog import Catalog
from robench.contracts import Encoder, Progress
from robench.plan import Request, plan, scale
from robench.progress import bar
from robench.questions import Evaluation
from robench.spec import Spec, SpecError, parse_list
from robench.store import Store, published

if TYPE_CHECKING:
    from pandas import DataFrame

Names = str | Sequence[str] | None
"""Specs as typed: ``"plain,rocl(steps=5)"``, or a list of such."""


@dataclass(frozen=True)
class Results(Sequence[Result]):
    """The answers of a run, in the plan's order; ``failures`` tells of those that could not be had."""

    results: tuple[Result, ...]
    failures: tuple[str, ...]
    out: Path

    @property
    def frame(self) -> "DataFrame":
        """One row a cell, as in ``results.csv``."""
        from robench.report.frame import frame

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
    eps: Names = None,
    limit: int | None = None,
    epochs: int | None = None,
    images: int | None = None,
    precision: str | None = None,
    out: Path | str | None = None,
    zoo: Path | str = "zoo",
    data: Path | str | None = None,
    device: str = "auto",
    plugins: Sequence[Path | str] = (),
    progress: Progress = bar,
    say: Callable[[str], None] = print,
) -> Results:
    """Pretrain, probe, attack and report whatever is not known yet; see ``robench run --help`` for the arguments.

    Raises SpecError, DataError or StoreError, before any compute, for what does not exist or cannot be read or written.
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
        norms=tuple(str(norm) for norm in specs(norms)),
        eps=radii(eps),
        limit=limit,
        epochs=epochs,
        images=images,
        precision=precision,
    )
    catalog = Catalog([Path(plugin) for plugin in plugins])
    evaluations = plan(request, catalog)
    bench = Bench(
        catalog,
        open_store(preset, out, Path(zoo), say),
        data_root(data),
        find_device(device),
        progress,
        say,
    )
    bench.store.prepare()
    return answer(bench, evaluations)


def answer(bench: Bench, evaluations: Sequence[Evaluation]) -> Results:
    """Answer the evaluations, and report on them and on what else is stored at the same scale."""
    results = tuple(bench.answers(evaluations))
    scales = {scale(evaluation) for evaluation in evaluations}
    asked = {result.cell.key for result in results}
    others = [
        result
        for result in bench.store.results()
        if result.cell.key not in asked and scale(result.cell.evaluation) in scales
    ]
    if results or others:
        write_report(bench.store, [*results, *others])
    return Results(results, tuple(bench.failures), bench.store.out)


def write_report(store: Store, results: Iterable[Result]) -> list[Path]:
    """Write tables and figures on the results into the store's results folder; returns the paths."""
    from robench.report.write import write

    results = list(results)
    trained = dict.fromkeys(result.cell.evaluation.probing.pretraining for result in results)
    cards = [card for card in map(store.card, trained) if card is not None]
    examples = (store.examples(result.cell) for result in results)
    return write(
        results,
        [curve(card) for card in cards],
        [shown for shown in examples if isinstance(shown, Examples)],
        store.out,
        scale="; ".join(dict.fromkeys(scale(result.cell.evaluation) for result in results)),
    )


def curve(card: Card) -> Curve:
    """How the pretraining of a card went."""
    return Curve(card.method, card.source, card.encoder, card.pretraining.seed, card.losses)


def load_encoder(key: str, zoo: Path | str = "zoo", plugins: Sequence[Path | str] = ()) -> Encoder:
    """The encoder of the zoo with that key, in eval mode on the CPU: images [B, 3, H, W] in [0, 1] to features.

    Raises SpecError where the zoo has no such encoder, or its weights are damaged.
    """
    store = Store(Path("results"), Path(zoo), say_nothing)
    card = store.card_by_key(key)
    if card is None:
        from robench.catalog import nearest

        known = [card.key for card in store.cards()]
        hint = nearest(key, known) if known else "it is empty; `robench run` fills it"
        raise SpecError(f"no encoder '{key}' in {zoo}; {hint}")
    weights = store.encoder(card)
    if weights is None:
        raise SpecError(f"the weights of '{key}' in {zoo} are missing or damaged")
    return restore(Catalog([Path(plugin) for plugin in plugins]), card, weights)


def specs(names: Names) -> tuple[Spec, ...]:
    """Read specs from a list between commas, or from several such lists."""
    if names is None:
        return ()
    texts = [names] if isinstance(names, str) else names
    return tuple(spec for text in texts for spec in parse_list(text))


def radii(names: Names) -> tuple[str, ...]:
    """Read radii between commas: ``"8/255,4/255"``."""
    if names is None:
        return ()
    texts = [names] if isinstance(names, str) else names
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())


def open_store(
    preset: str, out: Path | str | None, zoo: Path, warn: Callable[[str], None]
) -> Store:
    """The store of a run: ``out``, or the preset's folder under ``results``.

    A published folder is read and left as it is, unless ``out`` names it: new cells then go to ``<folder>.own``.
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
        raise SpecError(f"no device '{name}'; choose auto, cpu, cuda or cuda:0") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise SpecError(f"device '{name}' is not there: torch sees {count} GPUs; use --device cpu")
    if device.type not in ("cpu", "cuda"):
        raise SpecError(f"device '{name}' is not supported; choose auto, cpu, cuda or cuda:0")
    return device


def say_nothing(line: str) -> None:
    """For callers who want no lines."""
