"""`robench evaluate`: somebody else's checkpoint becomes an encoder like any other."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import PLUGINS, Done, files, robench, without_figures
from layout_files import LAYOUTS

from robench.catalog.catalog import Catalog
from robench.checkpoints.naming import trunk
from robench.engine.imported import read_encoder, save, summary
from robench.grid.records import Identity
from robench.grid.spec import parse
from robench.store.store import Store

ENCODER = ("--encoder", "resnet18(width=4)", "--data", "blobs")
TOYS = tuple(
    w for name in ("blobs", "nudge", "mirror") for w in ("--plugin", str(PLUGINS / f"{name}.py"))
)
GRID = ("--attacks", "nudge", "--eps", "8/255", "--limit", "12", *TOYS)
PROBE = ("--probe", "linear(strength=0.1)")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with without_figures():
        yield tmp_path


def evaluate(file: str, *words: str) -> Done:
    done = robench("evaluate", file, *words)
    assert done.code == 0, done
    return done


def test_its_results_stand_beside_those_of_a_trained_encoder() -> None:
    torch.save(LAYOUTS["rocl"]().entries, "ckpt.t7rocl_0")
    attacks = ("--attacks", "nudge,pgd(steps=1)")
    words = ("--out", "both", *attacks, *GRID[2:], *PROBE)
    first = evaluate("ckpt.t7rocl_0", *ENCODER, *words)
    assert first.out.splitlines()[:6] == [
        "ckpt.t7rocl_0: rocl layout, resnet18(width=4), 120 tensors read",
        "stem: cifar (3x3, stride 1, padding 1, no pooling)",
        "normalization: none (the layout's: src/data_loader.py:14-49)",
        "BatchNorm: the clean branch",
        "assumed: normalization (--normalize); the stem's stride, padding, pooling (--stem)",
        "classifier: the probe linear",
    ]
    assert "not used" not in first.out
    entry = next(Path("zoo").glob("*/card.json")).parent
    assert json.loads((entry / "card.json").read_text())["question"]["layout"] == "rocl"
    own = ("--methods", "mirror", "--sources", "blobs", "--encoders", "resnet18(width=4)")
    probes = ("--probes", "linear(strength=0.1)", "--preset", "cifar", "--precision", "fp32")
    made = robench("run", *own, *probes, "--epochs", "1", "--batch", "64", *words[:-2])
    assert made.code == 0, made
    _, *rows = re.findall(r"^│ (\S+ → \S+) +│ (\S+) +│", made.out, re.M)
    assert rows == [("blobs → blobs", "mirror"), ("imported → blobs", "rocl/ckpt")], made.out
    for command in (("compare", "rocl/ckpt", "mirror"), ("worst-case", "nudge,pgd(steps=1)")):
        done = robench(*command, "--out", "both", *TOYS)
        assert (done.code, "nudge" in done.out) == (0, True), done
    # What is known is not computed again, and no probe is fitted.
    before = files(Path("zoo"))
    again = evaluate("ckpt.t7rocl_0", *ENCODER, *words)
    assert "1/3  " not in again.out
    assert files(Path("zoo")) == before
    target = ("--target", "blobs", "--limit", "12", "--no-autoattack")
    audited = robench("audit", entry.name, *target, *TOYS)
    assert "verdict: " in audited.out
    assert "is imported: give the data set" in robench("audit", entry.name, *TOYS).err


@pytest.mark.parametrize(
    ("write", "normalize", "mean", "std", "stem"),
    [
        ("kuangliu", "'0.5,0.4,0.3:0.2'", [0.5, 0.4, 0.3], [0.2], "cifar"),
        ("torchvision_large", "'0.5:0.2'", [0.5], [0.2], "imagenet"),
    ],
)
@pytest.mark.parametrize("asked", [(), ("--probe", "own")])
def test_its_own_classifier_is_attacked_as_it_is(
    elsewhere: Path,
    write: str,
    normalize: str,
    mean: list[float],
    std: list[float],
    stem: str,
    asked: tuple[str, ...],
) -> None:
    written = LAYOUTS[write]()
    torch.save(written.entries, "a.pth")
    typed = ("--normalize", normalize.strip("'"), "--data", "blobs")
    done = evaluate("a.pth", *typed, *GRID, *asked)
    assert f"normalization: {normalize} (as given)\n" in done.out
    assert f"stem: {stem} (" in done.out
    assert "classifier: its own, " in done.out
    assert "not used" not in done.out
    (cell,) = Path("results/cifar/cells").glob("*-clean-??????????.npz")
    outcome = np.load(cell, allow_pickle=False)
    data = Catalog([PLUGINS / "blobs.py"]).build("datasets", parse("blobs(contrast=90)"))
    images = data.load(elsewhere, lambda items, label: items).test.images[outcome["index"]]
    subtracted, divided = (torch.tensor(numbers)[:, None, None] for numbers in (mean, std))
    with torch.no_grad():
        features = written.net((torch.tensor(images) / 255 - subtracted) / divided)
    state = written.entries.get("net", written.entries)
    weight, bias = (
        next(t for n, t in state.items() if re.fullmatch(rf"(module\.)?(linear|fc)\.{part}", n))
        for part in ("weight", "bias")
    )
    logits = features @ weight.T + bias
    assert logits.argmax(1).tolist() == outcome["clean_prediction"].tolist()


def test_what_is_not_used_is_listed() -> None:
    torch.save(LAYOUTS["clae"]().entries, "a.pt")
    done = evaluate("a.pt", *ENCODER, *GRID, *PROBE, "--bn", "adversarial")
    assert "BatchNorm: the adversarial branch\n" in done.out
    listed = "projector.0 (2), projector.2 (2), another BatchNorm branch (100)"
    (line,) = [line for line in done.out.splitlines() if line.startswith("not used: ")]
    assert sorted(line.removeprefix("not used: ").split(", ")) == sorted(listed.split(", "))
    names = ("momentum_backbone.layer1.0.bn1.bias", "backbone.bn1_adv.bias", "classifier.bias")
    first = {f"{at}backbone.layer1.0.conv1.weight": torch.ones(1) for at in ("", "momentum_")}
    found = trunk(first | dict.fromkeys(names, torch.ones(1)))
    assert summary(names, found) == "momentum_backbone, another BatchNorm branch, classifier"


def test_files_of_one_name_are_told_apart() -> None:
    for file in ("a/ckpt.pt", "b/ckpt.pt"):
        Path(file).parent.mkdir()
        torch.save(LAYOUTS["rocl"]().entries | {"epoch": file}, file)
        evaluate(file, *ENCODER, *GRID, *PROBE)
    methods = {json.loads(path.read_text())["name"] for path in Path("zoo").glob("*/card.json")}
    assert (len(methods), "rocl/ckpt" in methods) == (2, True)


def test_an_entry_of_other_code_is_made_again(elsewhere: Path) -> None:
    torch.save(LAYOUTS["rocl"]().entries, "a.pt")
    loaded = read_encoder(Path("a.pt"), parse("resnet18(width=4)"), Catalog())
    store = Store(elsewhere / "out", elsewhere / "zoo", pytest.fail)
    store.prepare()
    now, changed = (Identity((("encoder resnet18", digest),), "", ()) for digest in "ab")
    first = save(loaded, store, now)
    assert save(loaded, store, now) == first
    assert save(loaded, store, changed).identity == changed
    # Nor is one whose weights were read in another way.
    next(loaded.encoder.parameters()).data += 1
    assert save(loaded, store, changed).weights_sha256 != first.weights_sha256


def refused(*words: str) -> str:
    done = robench("evaluate", *words)
    assert (done.code, done.err.count("\n")) == (2, 1), done
    return done.err


def test_bad_input_is_one_line_and_leaves_nothing(elsewhere: Path) -> None:
    for name in ("solo", "clae", "rocl", "advcl_finetuned", "torchvision_large"):
        torch.save(LAYOUTS[name]().entries, f"{name}.pt")
    asked = (*ENCODER, *GRID)
    assert "solo-learn's is cifar10 or cifar100 for these data sets" in refused("solo.pt", *asked)
    assert "--bn clean or --bn adversarial (CLAE evaluates clean" in refused("clae.pt", *asked)
    assert "choose clean or adversarial" in refused("rocl.pt", *asked, "--bn", "pgd")
    assert "no BatchNorm branch" in refused("rocl.pt", *asked, "--bn", "adversarial")
    assert "no linear head" in refused("rocl.pt", *asked, "--probe", "own")
    assert "No such file" in refused("none.pt", *asked)
    other = ("--encoder", "resnet18(width=8)", "--data", "blobs", *TOYS)
    assert "--encoder 'resnet18(width=4)' would fit" in refused("rocl.pt", *other)
    unknown = ("--encoder", "resnet81")
    assert "no encoder 'resnet81'; did you" in refused("rocl.pt", *unknown, *asked[2:])
    typed = ("--encoder", "resnet18(width=4, stem=cifar, normalize=none)", "--data", "blobs")
    wrong = refused("torchvision_large.pt", *typed, *GRID)
    assert "conv1.weight is [4, 3, 7, 7], expected [4, 3, 3, 3]" in wrong
    assert "no dataset 'blob'" in refused("rocl.pt", *ENCODER[:3], "blob", *GRID)
    Path("taken").touch()
    assert "taken" in refused("rocl.pt", *asked, "--out", "taken")
    assert not (elsewhere / "results").exists()
    assert not (elsewhere / "zoo").exists()


def test_what_no_name_tells_is_said_and_can_be_typed(elsewhere: Path) -> None:
    written = LAYOUTS["solo"]()
    torch.save(written.entries, "solo.pt")
    typed = ("--data", "blobs", "--normalize", "cifar10")
    done = evaluate("solo.pt", *typed, *GRID)
    assert done.out.splitlines()[:6] == [
        "solo.pt: solo-learn layout, resnet18(width=4) at backbone., 120 tensors read",
        "stem: cifar-pad2 (3x3, stride 1, padding 2, no pooling)",
        "normalization: cifar10 (as given)",
        "BatchNorm: the clean branch",
        "assumed: the stem's stride, padding, pooling (--stem); "
        "encoder backbone., not momentum_backbone. (--prefix)",
        "classifier: its own, classifier",
    ]
    # Random weights; the commonest class has 5 of the 12 images.
    assert "is near chance, 41.7%" in done.err
    for part in ("stem: cifar-pad2", "normalization: cifar10", "clean branch", "(--prefix)"):
        assert part in done.err
    stem = ("--encoder", "resnet18(stem=cifar)", "--stem", "cifar-pool")
    pooled = evaluate("solo.pt", *typed, *GRID, *stem, "--prefix", "backbone")
    assert "stem: cifar-pool (3x3, stride 1, padding 1, max-pooling)\n" in pooled.out
    assert "assumed: nothing\n" in pooled.out
    other = evaluate("solo.pt", *typed, *GRID, "--prefix", "momentum_backbone")
    assert "at momentum_backbone., 120" in other.out
    cards = [json.loads(path.read_text()) for path in Path("zoo").glob("*/card.json")]
    assert len({card["name"] for card in cards}) == 3
    prefixes = sorted(card["question"]["prefix"] for card in cards)
    assert prefixes == ["backbone.", "backbone.", "momentum_backbone."]


def test_a_head_of_other_classes_makes_way_for_a_probe() -> None:
    torch.save(
        LAYOUTS["torchvision"]().entries
        | {"fc.weight": torch.ones(7, 32), "fc.bias": torch.ones(7)},
        "a.pt",
    )
    typed = ("--data", "blobs", "--normalize", "none")
    done = evaluate("a.pt", *typed, *GRID)
    assert "classifier: the probe linear, as fc has 7 outputs and the data 4 classes\n" in done.out
    asked = refused("a.pt", *typed, *GRID, "--probe", "own")
    assert "the data 4 classes; use another --probe, which fits one" in asked


def test_it_can_be_finetuned() -> None:
    torch.save(LAYOUTS["rocl"]().entries, "a.pt")
    evaluate("a.pt", *ENCODER, *GRID, "--probe", "aff(epochs=1, batch=96, steps=1)")


def test_weights_that_are_not_finite_are_refused_before_anything_is_kept() -> None:
    entries = LAYOUTS["rocl"]().entries
    name = next(n for n, t in entries["model"].items() if n.endswith("conv1.weight"))
    entries["model"][name][0, 0] = torch.nan
    torch.save(entries, "lost.t7")
    done = robench("evaluate", "lost.t7", *ENCODER, *GRID)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert re.search("lost.t7: its .*weight has numbers that are not finite", done.err)
    assert not Path("zoo").exists()
