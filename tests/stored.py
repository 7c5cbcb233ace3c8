"""Finished results with planted outcomes, under the names that a run would give them."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robench.contracts import Outcome
from robench.grid.questions import Evaluation, Pretraining, Probing
from robench.grid.recipe import Recipe
from robench.grid.records import Cell, Curve, Identity, Labels, Pictures, Provenance, Result
from robench.grid.spec import Spec, SpecError, parse, parse_number
from robench.store.store import Store

PGD = "pgd(eps=8/255, norm=linf, steps=20)"
SQUARE = "square(eps=8/255, norm=linf)"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def planted(
    correct: Iterable[bool] | float,
    method: str = "plain",
    attack: str = PGD,
    *,
    source: str = "shapes10",
    target: str = "shapes10",
    encoder: str = "resnet8",
    probe: str = "linear",
    norm: str = "",
    eps: str = "",
    n: int = 100,
    seed: int = 0,
    epochs: int = 1,
    index: npt.NDArray[np.int64] | None = None,
    clean: Iterable[bool] | None = None,
    flags: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    counts: dict[str, int] | None = None,
    limit: int | None = None,
    data: str = "",
    finished: str = "2026-01-01T00:00:00+00:00",
) -> Result:
    """A method's answer that is right about an image where ``correct`` says so.

    A number is the share of ``n`` images, the first ones, that it is right about. ``clean`` says
    where the clean prediction is right, by default everywhere. Any text may be a name; one that is
    no spec stands in the labels only.
    """
    share = [i < round(correct * n) for i in range(n)] if isinstance(correct, float) else correct
    right = np.array(list(share), dtype=bool)
    known = np.ones(len(right), bool) if clean is None else np.array(list(clean), dtype=bool)
    index = np.arange(len(right), dtype=np.int64) if index is None else index
    label = index % 10
    spec = _spec(attack)
    if norm:
        spec = spec.with_defaults({"norm": norm, "eps": parse_number(eps)})
    trained = Pretraining(_spec(method), _spec(encoder), _spec(source), Recipe(epochs, 64), seed)
    evaluation = Evaluation(Probing(trained, _spec(probe), _spec(target)), spec, 32)
    name = attack if norm or spec == _spec("(") else spec.name
    cell = Cell(
        evaluation=evaluation,
        identity=Identity((), data, ("",)),
        limit=limit,
        notes=notes,
        counts=counts or {},
        seconds=1.0,
        outcome_sha256="",
        provenance=Provenance("0", "", {}, "cpu", 1, "float32", finished),
    )
    size, sure = (np.full(len(right), value, np.float32) for value in (8 / 255, 0.5))
    before, after = (np.where(one, label, (label + 1) % 10) for one in (known, right))
    outcome = Outcome(index, label, before, after, size, sure, sure, np.full(len(right), -1))
    return Result(cell, outcome, Labels(method, source, target, encoder, probe, name), flags)


def _spec(text: str) -> Spec:
    try:
        return parse(text)
    except SpecError:
        return Spec("x")


def flagged(result: Result, *flags: str) -> Result:
    """The result with these flags."""
    return dataclasses.replace(result, flags=flags)


def grid(
    *,
    methods: tuple[str, ...] = ("plain", "clae", "rocl"),
    datasets: tuple[str, ...] = ("cifar10", "cifar100"),
    seeds: tuple[int, ...] = (0,),
    n: int = 500,
    suspect: str = "",
) -> list[Result]:
    """A grid like a real one: methods, sources, targets; clean, PGD at two eps, AutoAttack.

    Each image is hard to a degree that all methods share; the attacks on ``suspect`` are flagged.
    """
    kept = {"clean": 1.0, "4/255": 0.38, "8/255": 0.12}
    robustness = [0.01, 0.15, 1.0, 0.7, 0.5]
    attacks = (("clean", ""), ("pgd", "4/255"), ("pgd", "8/255"), ("autoattack", "8/255"))
    results = []
    for seed in seeds:
        for m, method in enumerate(methods):
            for source, target in ((s, t) for s in datasets for t in datasets):
                generator = np.random.default_rng([seed, m, len(source), len(target)])
                hard = np.random.default_rng(7).uniform(size=n) + 0.04 * generator.normal(size=n)
                top = (0.50 if target == datasets[0] else 0.24) - 0.02 * (source != target)
                for attack, eps in attacks:
                    share = top * kept[eps or "clean"] + 0.013 * (m - 1) * (eps == "")
                    share *= robustness[m % 5] if eps else 1.0
                    share *= 0.8 if attack == "autoattack" else 1.0
                    results.append(
                        planted(
                            hard < share,
                            method,
                            attack,
                            source=source,
                            target=target,
                            norm="linf" if eps else "",
                            eps=eps,
                            seed=seed,
                            flags=("masked gradients?",) if eps and method == suspect else (),
                        )
                    )
    return results


def curves(
    methods: tuple[str, ...] = ("plain", "clae", "rocl"),
    sources: tuple[str, ...] = ("cifar10", "cifar100"),
    seeds: tuple[int, ...] = (0,),
    epochs: int = 20,
) -> list[Curve]:
    """Falling losses at a level of each method's own."""
    epoch = np.arange(epochs)
    return [
        Curve(method, source, "resnet8", seed, tuple((level + 2 * np.exp(-epoch / 6)).tolist()))
        for seed in seeds
        for method, level in zip(methods, (4.6, 7.1, 9.6), strict=False)
        for source in sources
    ]


def examples(method: str = "rocl", *, m: int = 5, **names: Any) -> Result:
    """A result with random images of CIFAR-10, and changes of 8/255 by AutoAttack."""
    generator = np.random.default_rng(0)
    clean = generator.uniform(size=(m, 3, 8, 8)).astype(np.float32)
    change = np.float32(8 / 255) * generator.choice(np.float32([-1, 1]), size=clean.shape)
    names = {"source": "cifar10", "target": "cifar10", "norm": "linf", "eps": "8/255", **names}
    index = np.arange(m, dtype=np.int64) + 1
    result = planted(index % 2 == 0, method, "autoattack", index=index, clean=index != 3, **names)
    pictures = Pictures(clean, np.clip(clean + change, 0, 1), CLASSES)
    return dataclasses.replace(result, load_pictures=lambda: pictures)


def store_in(folder: Path, results: Iterable[Result]) -> Store:
    """A store in ``folder/out`` and ``folder/zoo`` that keeps the results, open for writing."""
    store = Store(folder / "out", folder / "zoo", print)
    store.prepare()
    for result in results:
        store.save_result(result.cell, result.outcome, None)
    return store
