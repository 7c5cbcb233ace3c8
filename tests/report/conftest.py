"""Results as a run makes them, made up: each image is hard to a degree that all methods share."""

from collections.abc import Callable

import numpy as np
import pytest

from robench.contracts import Outcome
from robench.grid.questions import Evaluation, Pretraining, Probing
from robench.grid.recipe import Recipe
from robench.grid.records import Cell, Curve, Examples, Labels, Provenance, Result
from robench.grid.spec import Spec

PROVENANCE = Provenance("0", "0" * 40, {}, "cpu", 1, "float32", "2026-01-01T00:00:00Z")
EVALUATION = Evaluation(
    Probing(
        Pretraining(Spec("plain"), Spec("resnet8"), Spec("shapes10"), Recipe(1, 2), 0),
        Spec("linear"),
        Spec("shapes10"),
    ),
    Spec("clean"),
    32,
)


def make_result(
    correct: np.ndarray | float = 0.5,
    *,
    method: str = "plain",
    source: str = "shapes10",
    target: str = "shapes10",
    encoder: str = "resnet8",
    probe: str = "linear",
    attack: str = "clean",
    norm: str = "",
    eps: str = "",
    seed: int = 0,
    n: int = 100,
    flags: tuple[str, ...] = (),
    index: np.ndarray | None = None,
) -> Result:
    """A result with ``correct`` per image, or with the first ``correct`` share of n right."""
    if isinstance(correct, float):
        correct = np.arange(n) < round(correct * n)
    n = len(correct)
    index = np.arange(n, dtype=np.int64) if index is None else index
    label = index % 10
    labels = Labels(method, source, target, encoder, probe, attack)
    cell = Cell(
        key=f"{method}-{source}-{target}-{encoder}-{probe}-{attack}-{norm}{eps}-s{seed}-{n}",
        labels=labels,
        norm=norm,
        eps=eps,
        seed=seed,
        n=n,
        correct=int(correct.sum()),
        flags=flags,
        notes=(),
        seconds=1.5,
        evaluation=EVALUATION,
        encoder_sha256="",
        probe_sha256="",
        data_sha256="",
        outcome_sha256="",
        provenance=PROVENANCE,
    )
    outcome = Outcome(
        index=index,
        label=label,
        clean_prediction=label,
        prediction=np.where(correct, label, (label + 1) % 10),
        size=np.zeros(n, np.float32),
        clean_confidence=np.full(n, 0.5, np.float32),
        confidence=np.full(n, 0.5, np.float32),
        fooled_by=np.full(n, -1),
    )
    return Result(cell, outcome)


def make_grid(
    *,
    methods: tuple[str, ...] = ("plain", "clae", "rocl"),
    datasets: tuple[str, ...] = ("cifar10", "cifar100"),
    seeds: tuple[int, ...] = (0,),
    n: int = 500,
    flagged: str = "",
) -> list[Result]:
    """A grid like a real one: methods, sources, targets; clean, PGD at two eps, AutoAttack."""
    levels = {"clean": 1.0, "4/255": 0.38, "8/255": 0.12}
    robustness = [0.01, 0.15, 1.0, 0.7, 0.5]
    results = []
    for seed in seeds:
        for m, method in enumerate(methods):
            for source in datasets:
                for target in datasets:
                    top = (0.50 if target == datasets[0] else 0.24) - 0.02 * (source != target)
                    for attack, eps in (
                        ("clean", ""),
                        ("pgd", "4/255"),
                        ("pgd", "8/255"),
                        ("autoattack", "8/255"),
                    ):
                        share = top * levels[eps or "clean"] + 0.013 * (m - 1) * (eps == "")
                        share *= robustness[m % 5] if eps else 1.0
                        share *= 0.8 if attack == "autoattack" else 1.0
                        dice = np.random.default_rng([seed, m, len(source), len(target)])
                        hard = np.random.default_rng(7).uniform(size=n)
                        hard = hard + 0.04 * dice.normal(size=n)
                        flags = ("masked gradients?",) if eps and method == flagged else ()
                        results.append(
                            make_result(
                                hard < share,
                                method=method,
                                source=source,
                                target=target,
                                attack=attack,
                                norm="linf" if eps else "",
                                eps=eps,
                                seed=seed,
                                flags=flags,
                            )
                        )
    return results


def make_curves(
    methods: tuple[str, ...] = ("plain", "clae", "rocl"),
    sources: tuple[str, ...] = ("cifar10", "cifar100"),
    seeds: tuple[int, ...] = (0,),
    epochs: int = 20,
) -> list[Curve]:
    """Falling losses at a level of each method's own."""
    curves = []
    for seed in seeds:
        for m, method in enumerate(methods):
            for s, source in enumerate(sources):
                dice = np.random.default_rng([seed, m, s])
                epoch = np.arange(epochs)
                losses = (4.6 + 2.5 * m) + (1.2 + 0.3 * s) * np.exp(-epoch / 6)
                losses = losses + 0.02 * dice.normal(size=epochs)
                curves.append(Curve(method, source, "resnet8", seed, tuple(losses.tolist())))
    return curves


CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def make_examples(
    method: str = "rocl",
    *,
    m: int = 5,
    attack: str = "autoattack",
    classes: tuple[str, ...] = CLASSES,
    clean: np.ndarray | None = None,
) -> Examples:
    """Smooth random images and changes of 8/255."""
    dice = np.random.default_rng(0)
    if clean is None:
        coarse = dice.uniform(size=(m, 3, 8, 8)).astype(np.float32)
        clean = coarse.repeat(4, axis=2).repeat(4, axis=3)
    change = np.float32(8 / 255) * dice.choice(np.float32([-1, 1]), size=clean.shape)
    label = np.arange(m, dtype=np.int64) + 1
    return Examples(
        labels=Labels(method, "cifar10", "cifar10", "resnet8", "linear", attack),
        norm="linf",
        eps="8/255",
        classes=classes,
        label=label,
        clean=clean,
        attacked=np.clip(clean + change, 0, 1),
        clean_prediction=np.where(label == 3, 5, label),
        attacked_prediction=np.where(label % 2 == 0, label, (label + 3) % 10),
    )


@pytest.fixture
def result() -> Callable[..., Result]:
    return make_result


@pytest.fixture
def grid() -> Callable[..., list[Result]]:
    return make_grid


@pytest.fixture
def curves() -> Callable[..., list[Curve]]:
    return make_curves


@pytest.fixture
def examples() -> Callable[..., Examples]:
    return make_examples
