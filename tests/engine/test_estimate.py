"""The plan in lines, with a time that has the right order."""

from pathlib import Path

import pytest
import torch
from commands import PLUGINS, files, finished

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.engine.bench import Bench
from robench.engine.estimate import estimate
from robench.engine.progress import silent
from robench.grid.spec import parse_list
from robench.store.store import Store

CATALOG = Catalog([PLUGINS / f"{name}.py" for name in ("blobs", "tiny", "mirror", "nudge")])


def lines(folder: Path, **changes: object) -> list[str]:
    settings = {
        "methods": parse_list("mirror"),
        "sources": parse_list("blobs"),
        "encoders": parse_list("tiny"),
        "attacks": parse_list("pgd"),
        "eps": ("3/255",),
        "epochs": 1,
        "images": 192,
        "limit": 16,
    }
    request = Request(**{**settings, **changes})  # type: ignore[arg-type]
    store = Store(folder / "out", folder / "zoo", pytest.fail, labels=CATALOG.labels)
    bench = Bench(CATALOG, store, folder, torch.device("cpu"), silent, pytest.fail)
    return list(estimate(bench, plan(request, CATALOG), request.limit))


def test_a_plan_tells_what_is_cached_and_what_is_not(tmp_path: Path) -> None:
    finished(tmp_path)
    before = files(tmp_path)
    assert lines(tmp_path, eps=("8/255",)) == [
        "2 cells: 2 cached, 0 to compute; 1 encoder, 0 to pretrain",
        "nothing to compute",
    ]
    first, cell, total = lines(tmp_path)
    assert first == "2 cells: 1 cached, 1 to compute; 1 encoder, 0 to pretrain"
    assert cell.startswith("  mirror blobs -> blobs, pgd linf 3/255, 16 images: about ")
    assert total.endswith(", on cpu")
    assert files(tmp_path) == before


def test_lost_weights_are_to_be_trained(tmp_path: Path) -> None:
    finished(tmp_path)
    next((tmp_path / "zoo").glob("*/encoder.safetensors")).unlink()
    assert lines(tmp_path)[0].endswith("1 encoder, 1 to pretrain")
    assert lines(tmp_path)[1].startswith("  pretraining mirror on blobs, seed 0: about ")


def test_an_estimate_leaves_the_caller_s_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert len(lines(tmp_path)) == 5
    assert torch.equal(torch.get_rng_state(), before)
    assert list(tmp_path.iterdir()) == []


def test_a_probe_that_sees_images_anew_in_each_epoch_is_counted_once(tmp_path: Path) -> None:
    finished(tmp_path)
    probes = parse_list("linear,alf(epochs=2)")
    told = lines(tmp_path, probes=probes)
    assert [line.partition(":")[0] for line in told] == [
        "4 cells",
        "  fitting alf(epochs=2) on blobs, mirror blobs",
        "  mirror blobs -> blobs, pgd linf 3/255, 16 images",
        "  mirror blobs -> blobs, clean, 16 images",
        "  mirror blobs -> blobs, pgd linf 3/255, 16 images",
        told[-1].partition(":")[0],
    ]


@pytest.mark.parametrize(
    ("probe", "passes"),
    [
        ("linear", 0),
        ("linear-sgd", 0),
        ("slf", 25 * 0.5),
        ("alf", 25 * 10.5),
        ("aff", 25 * 13.5),
        ("robust-linear(epochs=10)", 10 * 10.5),
    ],
)
def test_a_probe_s_passes_are_its_schedule(probe: str, passes: float) -> None:
    assert CATALOG.build("probes", probe).passes() == pytest.approx(passes)


@pytest.mark.parametrize(
    ("attack", "classes", "passes"),
    [
        ("clean", 10, (1, 1)),
        ("pgd(steps=20)", 10, (20, 20)),
        ("pgd(steps=20, restarts=5)", 10, (20, 100)),
        ("autoattack", 10, (1, 100 + 9 * 300 + 5000 / 3)),
        ("autoattack", 100, (1, 100 + 9 * 300 + 5000 / 3)),
        ("autoattack", 5, (1, 100 + 4 * 300 + 5000 / 3)),
        ("autoattack", 2, (1, 100 + 1 * 200 + 5000 / 3)),
        ("autoattack(norm=l1, eps=12)", 10, (60, 500 + 5 * 100 + 9 * 200 + 5000 / 3)),
    ],
)
def test_an_attack_s_passes_are_its_budget(
    attack: str, classes: int, passes: tuple[float, float]
) -> None:
    assert CATALOG.build("attacks", attack).passes(classes) == pytest.approx(passes)
