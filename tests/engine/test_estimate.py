"""The plan in lines, with a time that has the right order."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import PLUGINS, files, finished

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.engine.bench import Bench
from robench.engine.estimate import estimate
from robench.engine.operations import Stub, of_encoder, of_step
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
    assert cell.startswith("  attack pgd, 1: about ")
    assert total.startswith("in all about ")
    assert total.endswith(", on cpu")
    assert files(tmp_path) == before


def test_lost_weights_are_to_be_trained(tmp_path: Path) -> None:
    finished(tmp_path)
    next((tmp_path / "zoo").glob("*/encoder.safetensors")).unlink()
    assert lines(tmp_path)[0].endswith("1 encoder, 1 to pretrain")
    assert lines(tmp_path)[1].startswith("  pretrain mirror, 1: about ")


def test_an_estimate_leaves_the_caller_s_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert len(lines(tmp_path)) == 6
    assert torch.equal(torch.get_rng_state(), before)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_a_dozen_lines_and_the_smallest_are_together(tmp_path: Path) -> None:
    methods = parse_list(",".join(f"mirror(noise=0.{tenth})" for tenth in range(1, 10)))
    probes = parse_list("linear,alf(epochs=2)")
    told = lines(tmp_path, methods=methods, probes=probes)
    assert len(told) == 12
    assert any(re.fullmatch(r"  fit alf\(epochs=2\), 9: about \d+ s", line) for line in told)
    assert re.fullmatch(r"  others, \d+: about \d+ s", told[-2])


def test_passes_of_a_method_are_counted_and_not_timed() -> None:
    found = {}
    for method in ("plain", "rocl(steps=3)", "rocl(steps=7)"):
        stub = Stub()
        made = CATALOG.build_objective(CATALOG.resolve("methods", method), stub)
        found[method] = of_step(made, stub).passes
    # Two views forward and twice that back, but for the gradient to the images.
    assert 5 < found["plain"] < 6
    # Each step of the adversary is a pass forward and one back to the images.
    assert found["rocl(steps=7)"] - found["rocl(steps=3)"] == pytest.approx(4 * 2, rel=0.02)


def test_a_larger_network_has_more_operations() -> None:
    names = ("resnet8(width=8)", "resnet8", "resnet18")
    found = [of_encoder(CATALOG.build("encoders", name), 32).each for name in names]
    assert found == sorted(found)
    # 0.5556 G multiplications, twice: with the additions.
    assert found[-1] == pytest.approx(2 * 0.5556e9, rel=0.5)


def test_stored_seconds_win_over_the_measured_rate(tmp_path: Path) -> None:
    finished(tmp_path)
    store = Store(tmp_path / "out", tmp_path / "zoo", pytest.fail, labels=CATALOG.labels)
    for card in store.cards():
        weights = store.encoder(card)
        assert weights is not None
        store.save_encoder(replace(card, seconds=7200.0), weights)
    told = lines(tmp_path, seeds=(0, 1))
    assert "  pretrain mirror, 1: about 2.0 h" in told


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
