"""What a notebook does."""

import inspect
import re
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commands import PLUGINS, finished, without_figures

import robench
from robench import api
from robench.catalog.catalog import Catalog
from robench.catalog.request import Request
from robench.contracts import DataError
from robench.engine.progress import silent
from robench.grid.records import Result
from robench.grid.spec import SpecError
from robench.store.store import Store, StoreError

TOYS = [PLUGINS / f"{name}.py" for name in ("blobs", "tiny", "mirror", "nudge")]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROBENCH_DATA", raising=False)


def toy_run(**changes: Any) -> robench.Results:
    settings: dict[str, Any] = {
        **{"methods": "mirror", "attacks": ["pgd"], "sources": "blobs", "encoders": "tiny"},
        **{"eps": 8 / 255, "epochs": 1, "images": 192, "limit": 16, "out": "out", "zoo": "zoo"},
        **{"plugins": TOYS, "progress": silent, "say": lambda line: None},
    }
    with without_figures():
        return robench.run(**{**settings, **changes})


def test_a_run_finds_what_the_command_computed_and_computes_the_rest(tmp_path: Path) -> None:
    finished(tmp_path)
    said: list[str] = []
    results = toy_run(say=said.append)
    schedule, plan, read = said  # and nothing computed
    assert plan == "2 cells: 2 cached, 0 to compute; 1 encoder, 0 to pretrain"
    assert read.startswith("read 2 cells, made ")
    assert schedule.startswith("Schedule of mirror: ")
    assert {"method", "accuracy", "flags", "key"} <= set(results.frame.columns)
    assert list(results.frame["eps"]) == ["", "8/255"]
    assert (len(results), results.failures, results.out) == (2, (), Path("out"))
    assert results[0].labels.attack == "clean"
    assert [result.cell.key for result in results] == list(results.frame["key"])

    assert len(toy_run(attacks="pgd,nudge", eps=["8/255"], say=said.append)) == 3
    assert said[3] == schedule
    assert said[4].startswith("3 cells: 2 cached, 1 to compute")
    assert re.fullmatch(r"3/3  mirror  blobs → blobs  nudge 8/255 +[0-9.]+%  +[0-9.]+ s", said[5])
    assert said[6].startswith("read 2 cells, made ")
    assert len(said) == 7


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"methods": "rokl"}, SpecError, "did you mean rocl"),
        ({"limit": "all"}, SpecError, "limit=all should be a whole number"),
        ({"sources": "cifar10"}, DataError, "robench data fetch cifar10"),
        ({"out": __file__}, StoreError, "choose another folder"),
    ],
)
def test_bad_arguments_are_errors_before_any_compute(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        toy_run(**changes)
    assert not list(tmp_path.rglob("*.npz"))


def test_radii_are_exact() -> None:
    for eps, read in [
        (8 / 255, ("8/255",)),
        ([4 / 255, "8/255", 0.5], ("4/255", "8/255", "0.5")),
        ("8/255, 4/255", ("8/255", "4/255")),
        (1, ("1",)),
        (None, ()),
    ]:
        assert Request(eps=eps).eps == read  # type: ignore[arg-type]


def test_an_encoder_of_the_zoo_works(tmp_path: Path) -> None:
    finished(tmp_path)
    (name,) = (path.parent.name for path in (tmp_path / "zoo").glob("*/card.json"))
    torch.manual_seed(4)
    before = torch.get_rng_state()
    encoder = robench.load_encoder(name, plugins=[PLUGINS / "tiny.py"])
    assert torch.equal(torch.get_rng_state(), before)
    assert not encoder.training
    images = torch.rand(5, 3, 8, 8)
    features = encoder(images)
    assert features.shape == (5, encoder.width)
    assert torch.allclose(features[:2], encoder(images[:2]), atol=1e-6)


def test_a_model_of_the_zoo_is_a_classifier_for_any_attack_package(tmp_path: Path) -> None:
    import pyautoattack
    import torchattacks

    finished(tmp_path)
    results = toy_run(attacks="pgd,autoattack", limit=None)
    (name,) = (path.parent.name for path in (tmp_path / "zoo").glob("*/card.json"))
    said: list[str] = []
    before = {path: path.read_bytes() for path in (tmp_path / "zoo").rglob("*.safetensors")}
    torch.manual_seed(4)
    state = torch.get_rng_state()
    model = robench.load_model(name, plugins=TOYS, device="cpu", say=said.append)
    assert torch.equal(torch.get_rng_state(), state)
    assert said == []
    assert {path: path.read_bytes() for path in (tmp_path / "zoo").rglob("*.safetensors")} == before
    assert not any(part.training for part in model.modules())

    clean = results[0].outcome
    blobs = Catalog(TOYS).build("datasets", "blobs").load(tmp_path, silent)
    images = torch.from_numpy(blobs.test.images[clean.index]).float() / 255
    labels = torch.from_numpy(clean.label)
    predictions = model(images).argmax(dim=1)
    assert torch.equal(predictions, torch.from_numpy(clean.prediction))

    attack = torchattacks.PGD(model, eps=8 / 255, alpha=2 / 255, steps=20)
    attacked = attack(images, labels)
    assert (attacked - images).abs().max() <= 8 / 255 + 1e-6
    standing = int((model(attacked).argmax(dim=1) == labels).sum())
    assert abs(standing - results[1].correct) <= 2
    trace = sys.gettrace()
    official = pyautoattack.AutoAttack(
        model, norm="Linf", eps=8 / 255, seed=0, version="custom", device="cpu"
    )
    official.attacks_to_run = ["apgd-ce", "square"]
    official.square.n_queries = 50
    attacked, _ = official.run_standard_evaluation(images, labels, batch_size=len(images))
    sys.settrace(trace)
    standing = int((model(attacked).argmax(dim=1) == labels).sum())
    assert results[2].correct <= standing <= results[0].correct


def test_a_model_that_was_not_probed_is_fitted_on_the_target(tmp_path: Path) -> None:
    finished(tmp_path)
    (name,) = (path.parent.name for path in (tmp_path / "zoo").glob("*/card.json"))
    given: dict[str, Any] = {"plugins": TOYS, "device": "cpu"}
    images = torch.rand(3, 3, 8, 8)
    fitted = robench.load_model(name, probe="linear-adam", target="blobs(contrast=9)", **given)
    again = robench.load_model(name, probe="linear-adam", target="blobs(contrast=9)", **given)
    assert torch.equal(fitted(images), again(images))
    assert not torch.equal(fitted(images), robench.load_model(name, **given)(images))
    with pytest.raises(SpecError, match="did you mean linear"):
        robench.load_model(name, probe="linaer", **given)
    with pytest.raises(SpecError, match="did you mean mirror-blobs"):
        robench.load_model("mirror-blobs-tiny", **given)
    next((tmp_path / "zoo").glob("*/encoder.safetensors")).unlink()
    with pytest.raises(SpecError, match="weights are missing"):
        robench.load_model(name, **given)


def test_tab_lists_what_there_is_each_with_a_docstring_of_its_own() -> None:
    names = {"run", "evaluate", "compare", "worst_case", "audit", "load_model", "load_encoder"}
    assert names | {"Objective", "Attack", "Results", "__version__"} <= set(dir(robench))
    assert robench.__version__ == version("robench")
    texts = {name: getattr(robench, name).__doc__ for name in dir(robench) if name[0] != "_"}
    assert all(texts.values())
    assert len(set(texts.values())) == len(texts)
    for name in names:
        assert list(inspect.signature(getattr(robench, name)).parameters)
        assert "functools" not in texts[name]


def test_seeds_are_a_number_text_or_several() -> None:
    for typed, seeds in ((3, (3,)), ("0,1", (0, 1)), (range(3), (0, 1, 2)), ([0, "4"], (0, 4))):
        assert Request(seeds=typed).seeds == seeds  # type: ignore[arg-type]


def test_an_encoder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="it is empty; `robench run` fills it"):
        robench.load_encoder("plain")
    finished(tmp_path)
    with pytest.raises(SpecError, match="did you mean mirror-blobs-tiny-s0-"):
        robench.load_encoder("mirror-blobs-tiny-s0")
    folder = next((tmp_path / "zoo").glob("*/card.json")).parent
    with pytest.raises(SpecError, match="no encoder 'tiny'"):
        robench.load_encoder(folder.name)  # the plug-in is not at hand
    weights = folder / "encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(SpecError, match=r"is damaged .*hash differs"):
        robench.load_encoder(folder.name, plugins=TOYS)
    weights.unlink()
    with pytest.raises(SpecError, match="weights are missing"):
        robench.load_encoder(folder.name, plugins=TOYS)


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"run\(\) has no argument 'metods'; did you mean methods"):
        robench.run(metods="plain")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = robench.nothing


def twin(result: Result) -> Result:
    """The same place in the table, answered in other batches."""
    evaluation = replace(result.cell.evaluation, batch=7)
    return replace(result, cell=replace(result.cell, evaluation=evaluation))


def test_cells_of_one_place_do_not_stop_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(tmp_path)
    said: list[str] = []
    store = Store(tmp_path / "out", tmp_path / "zoo", pytest.fail)
    both = [both for result in store.results() for both in (result, twin(result))]
    monkeypatch.setattr(Store, "results", lambda store: iter(both))
    with without_figures():
        api.report(out="out", plugins=TOYS, say=said.append)
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 3
    assert len(said) == 1
    assert said[0].endswith("left out 2 with the place of a later one")


def test_a_run_reports_what_else_is_stored_at_its_scale(tmp_path: Path) -> None:
    finished(tmp_path)
    toy_run(attacks="nudge")
    names = pd.read_csv("out/results.csv", keep_default_na=False)["attack"]
    assert sorted(names) == ["clean", "nudge", "pgd"]
    results = toy_run(limit=20)
    table = pd.read_csv("out/results.csv", keep_default_na=False)
    assert set(table["n"]) == {20}
    assert len(table) == len(results) == 2
    assert len(list(Path("out/cells").glob("*.json"))) == 3  # two have grown


def test_captions_and_estimates_have_the_numbers_of_images_that_are_used() -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 120), ("val", 20), ("test", 40)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(n) % 4
    np.savez("few.npz", **arrays)
    asked = {"sources": "npz(path=few.npz)", "images": 99_999_999, "limit": 1_000}
    planned = "\n".join(
        api.dry_run(methods="mirror", encoders="tiny", attacks="pgd", plugins=TOYS, **asked)
    )
    assert "1,000" not in planned.replace("1000", "1,000")
    results = toy_run(**asked)
    assert {result.n for result in results} == {40}
    assert results[0].flags == ()
    for file in ("table.md", "table.tex"):
        text = Path("out", file).read_text().replace("{,}", ",")
        assert ", 40 test images" in text
        assert "1 epoch of 140 images" in text
        assert "probes on 140, 40 test images" in text
        assert "99,999,999" not in text
        assert "1,000" not in text
    again = toy_run(**{**asked, "images": 150})  # other questions, but of the same size
    assert "1 epoch of 140 images" in Path("out/table.md").read_text()
    assert len(pd.read_csv("out/results.csv")) == len(again) == 2


def test_a_test_set_whose_files_have_less_than_was_published_is_a_subset() -> None:
    for name in ("cifar10", "cifar100"):
        assert Catalog().component("datasets", name).published == 10_000
    text = (PLUGINS / "blobs.py").read_text()
    text = text.replace("    contrast: int", "    published = 50\n    contrast: int")
    Path("short.py").write_text(text.replace("class Blobs", "class Short"))
    asked = {"sources": "short", "plugins": [*TOYS, "short.py"], "limit": None}
    asked |= {"preset": "cifar", "batch": 64, "precision": "fp32", "attacks": "clean"}
    results = toy_run(**asked)
    assert [(one.n, one.flags) for one in results] == [(48, ("subset",))]
    assert ", 48 of 50 test images" in Path("out/table.md").read_text()
    again = toy_run(**asked)
    assert again[0].cell == results[0].cell


def test_methods_with_settings_of_their_own_share_a_table(tmp_path: Path) -> None:
    finished(tmp_path)
    own = toy_run(methods="mirror(noise=0.2)", settings={"mirror.lr": 0.01}, attacks="clean")
    recipe = own[0].cell.evaluation.probing.pretraining.recipe
    assert recipe.lr == 0.01
    said: list[str] = []
    with without_figures():
        api.report(out="out", plugins=TOYS, say=said.append)
    assert len(said) == 1
    assert "left out" not in said[0]
    methods = pd.read_csv("out/results.csv")["method"]
    assert set(methods) == {"mirror", "mirror(noise=0.2)"}
    caption, *_ = Path("out/table.md").read_text().splitlines()
    assert "lr 0.01" in caption
    assert "lr 0.002" in caption


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    finished(tmp_path)
    (tmp_path / "out" / "table.md").unlink()
    (tmp_path / "out" / "table.md").mkdir()
    with pytest.raises(IsADirectoryError, match=r"out/table.md"):
        toy_run()
