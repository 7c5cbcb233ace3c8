"""`robench evaluate`: somebody else's checkpoint in, a table and per-image outcomes out."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import PLUGINS, files, robench
from layout_files import advcl_finetuned, clae, kuangliu, rocl, solo, torchvision_large

from robench.engine.guest import summary

ENCODER = ("--encoder", "resnet18(width=4)", "--data", "blobs")
PLAIN = ("--encoder", "resnet18(width=4, normalize=none)", "--data", "blobs")
TOYS = tuple(w for name in ("blobs", "nudge") for w in ("--plugin", str(PLUGINS / f"{name}.py")))
GRID = (*ENCODER, *TOYS, "--attacks", "nudge", "--eps", "8/255", "--limit", "12")
PROBE = ("--probe", "linear(strength=0.1)")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def result(folder: Path) -> tuple[Path, dict]:
    (path,) = folder.glob("results/evaluate/*/result.json")
    return path.parent, json.loads(path.read_text())


def test_a_probe_is_fitted_and_attacked(elsewhere: Path) -> None:
    torch.save(rocl().entries, "ckpt.t7rocl_0")
    done = robench("evaluate", "ckpt.t7rocl_0", *GRID, *PROBE)
    assert done.code == 0, done
    assert "rocl layout, 120 tensors read\n" in done.out
    assert "normalization: none (src/data_loader.py:14-49)" in done.out
    assert "not used" not in done.out
    folder, content = result(elsewhere)
    digest = hashlib.sha256((elsewhere / "ckpt.t7rocl_0").read_bytes()).hexdigest()
    settings = content["settings"]
    assert settings["checkpoint"] == digest
    assert settings["layout"] == "rocl"
    assert "normalize=none" in settings["encoder"]
    assert settings["probe"].startswith("linear(")
    clean, nudged = content["rows"]
    assert (clean["name"], clean["n"], nudged["n"]) == ("clean", 12, 12)
    assert 0 <= clean["low"] <= clean["correct"] / 12 <= clean["high"] <= 1
    with np.load(folder / nudged["file"], allow_pickle=False) as outcome:
        right = int((outcome["prediction"] == outcome["label"]).sum())
        assert (len(outcome["index"]), right) == (12, nudged["correct"])
    share = f"{100 * clean['correct'] / 12:.1f}"
    low, high = 100 * clean["low"], 100 * clean["high"]
    assert f"| clean | {share} | {low:.1f} to {high:.1f} | 12 |" in done.out
    assert (folder / "table.md").read_text().strip() in done.out
    assert clean["flags"] == nudged["flags"] == ["subset"]
    assert "All numbers flagged: subset (12 of 48 test images)" in done.out
    assert "\nAll numbers flagged: subset (12 of 48 test images)\n" in done.out


def test_flags_of_one_row_stand_at_its_number(elsewhere: Path) -> None:
    torch.save(kuangliu().entries, "a.pth")
    words = ("--head", "own", "--attacks", "nudge,pgd(steps=3)")
    done = robench("evaluate", "a.pth", *PLAIN, *TOYS, *words, "--eps", "8/255")
    assert done.code == 0, done
    assert re.search(r"^\| pgd\(steps=3\) 8/255 \| [\d.]+<sup>a</sup> \|", done.out, re.M)
    assert re.search(r"^\| nudge 8/255 \| [\d.]+ \|", done.out, re.M)
    assert "<sup>a</sup> flagged: budget (the attack ran with less" in done.out
    # A folder that an older version wrote has no flags; they are drawn from what it has.
    folder, content = result(elsewhere)
    for row in content["rows"]:
        del row["flags"], row["counts"]
    (folder / "result.json").write_text(json.dumps(content))
    again = robench("evaluate", "a.pth", *PLAIN, *TOYS, *words, "--eps", "8/255")
    assert again.out.partition("\n\n")[2] == done.out.partition("\n\n")[2]


@pytest.mark.parametrize(
    "change",
    [{"file": "../clean.npz"}, {"file": "/dev/zero"}, {"n": 0}, {"correct": 13}, {"correct": -1}],
)
def test_a_row_of_somebody_else_s_that_cannot_be_is_made_again(
    elsewhere: Path, change: dict[str, object]
) -> None:
    torch.save(rocl().entries, "a.pt")
    assert robench("evaluate", "a.pt", *GRID, *PROBE).code == 0
    folder, content = result(elsewhere)
    (folder.parent / "clean.npz").write_bytes((folder / "clean.npz").read_bytes())
    content["rows"][0] |= change
    (folder / "result.json").write_text(json.dumps(content))
    done = robench("evaluate", "a.pt", *GRID, *PROBE)
    assert done.code == 0
    assert "[1/2] clean" in done.out
    assert "[2/2]" not in done.out


def test_known_numbers_are_not_made_again(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(rocl().entries, "a.pt")
    first = robench("evaluate", "a.pt", *GRID, *PROBE)
    folder, content = result(elsewhere)
    kept = {name: found[0] for name, found in files(folder).items() if name.endswith("npz")}
    with monkeypatch.context() as patch:
        for stage in ("probe", "evaluate"):
            patch.setattr(f"robench.engine.guest.{stage}", pytest.fail)
        again = robench("evaluate", "a.pt", *GRID, *PROBE)
    assert again.code == 0, again
    assert again.out.partition("\n\n")[2] == first.out.partition("\n\n")[2]
    # One that was damaged is, and comes out the same.
    (folder / content["rows"][1]["file"]).write_bytes(b"PK")
    third = robench("evaluate", "a.pt", *GRID, *PROBE)
    assert "[2/2] nudge" in third.out
    assert "[1/2]" not in third.out
    now = {name: found[0] for name, found in files(folder).items() if name.endswith("npz")}
    assert now == kept


def test_its_own_head_is_attacked_as_it_is(elsewhere: Path) -> None:
    written = kuangliu()
    torch.save(written.entries, "a.pth")
    typed = ("--encoder", "resnet18(width=4, normalize='0.5,0.4,0.3:0.2')", *GRID[2:])
    done = robench("evaluate", "a.pth", *typed, "--head", "own")
    assert done.code == 0, done
    assert "normalization: '0.5,0.4,0.3:0.2' (as given)" in done.out
    assert "not used" not in done.out
    folder, content = result(elsewhere)
    with np.load(folder / "clean.npz", allow_pickle=False) as outcome:
        found = outcome["clean_prediction"], outcome["index"]
    from robench.catalog.catalog import Catalog

    data = Catalog([PLUGINS / "blobs.py"]).build("datasets", "blobs(contrast=90)")
    images = torch.tensor(data.load(elsewhere, lambda items, label: items).test.images[found[1]])
    pixels = (images / 255 - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / 0.2
    state = written.entries["net"]
    with torch.no_grad():
        features = written.net(pixels)
    logits = features @ state["module.linear.weight"].T + state["module.linear.bias"]
    assert logits.argmax(1).tolist() == found[0].tolist()
    assert content["settings"]["probe"] == ""


def test_the_stem_of_imagenet_is_taken_from_the_file(elsewhere: Path) -> None:
    written = torchvision_large()
    torch.save(written.entries, "a.pth")
    typed = ("--encoder", "resnet18(width=4, normalize='0.5:0.2')", *GRID[2:], "--head", "own")
    done = robench("evaluate", "a.pth", *typed)
    assert done.code == 0, done
    assert "stem: imagenet\n" in done.out
    folder, content = result(elsewhere)
    assert "stem=imagenet" in content["settings"]["encoder"]
    with np.load(folder / "clean.npz", allow_pickle=False) as outcome:
        found = outcome["clean_prediction"], outcome["index"]
    from robench.catalog.catalog import Catalog

    data = Catalog([PLUGINS / "blobs.py"]).build("datasets", "blobs(contrast=90)")
    images = torch.tensor(data.load(elsewhere, lambda items, label: items).test.images[found[1]])
    with torch.no_grad():
        features = written.net((images / 255 - 0.5) / 0.2)
    logits = features @ written.entries["fc.weight"].T + written.entries["fc.bias"]
    assert logits.argmax(1).tolist() == found[0].tolist()
    # Who types the other one is told that it does not fit.
    typed = ("--encoder", "resnet18(width=4, stem=cifar, normalize=none)", *GRID[2:])
    assert "conv1.weight is [4, 3, 7, 7], expected [4, 3, 3, 3]" in refused("a.pth", *typed)


def test_what_is_not_used_is_listed(elsewhere: Path) -> None:
    torch.save(clae().entries, "a.pt")
    done = robench("evaluate", "a.pt", *GRID, *PROBE, "--bn", "adversarial")
    assert done.code == 0, done
    assert "BatchNorm: the adversarial branch\n" in done.out
    listed = "projector.0 (2), projector.2 (2), another BatchNorm branch (100)"
    (line,) = [line for line in done.out.splitlines() if line.startswith("not used: ")]
    assert sorted(line.removeprefix("not used: ").split(", ")) == sorted(listed.split(", "))
    assert len(result(elsewhere)[1]["unused"]) == 104


def test_momentum_encoders_are_told_from_branches() -> None:
    names = ("momentum_backbone.layer1.0.bn1.bias", "backbone.bn1_adv.bias", "classifier.bias")
    assert summary(names, "backbone.") == "momentum_backbone, another BatchNorm branch, classifier"


def refused(*words: str) -> str:
    done = robench("evaluate", *words)
    assert done.code == 2, done
    assert done.err.startswith("robench: ")
    assert done.err.count("\n") == 1
    return done.err


def test_bad_input_is_one_line(elsewhere: Path) -> None:
    torch.save(solo().entries, "solo.pt")
    torch.save(clae().entries, "clae.pt")
    torch.save(rocl().entries, "rocl.pt")
    torch.save(advcl_finetuned().entries, "advcl.pt")
    assert "cifar10 for CIFAR-10 (solo/data" in refused("solo.pt", *GRID)
    assert "--bn clean or --bn adversarial (CLAE evaluates clean" in refused("clae.pt", *GRID)
    assert "no head 'mine'" in refused("rocl.pt", *GRID, "--head", "mine")
    assert "choose clean or adversarial" in refused("rocl.pt", *GRID, "--bn", "pgd")
    assert "no BatchNorm branch" in refused("rocl.pt", *GRID, "--bn", "adversarial")
    assert "leave --probe" in refused("rocl.pt", *GRID, "--head", "own", "--probe", "linear")
    assert "no linear head" in refused("rocl.pt", *GRID, "--head", "own")
    assert "No such file" in refused("none.pt", *GRID)
    other = ("--encoder", "resnet18", "--data", "blobs", *TOYS)
    assert "--encoder 'resnet18(width=4)' would fit" in refused("rocl.pt", *other)
    assert "no dataset 'blob'" in refused("rocl.pt", *ENCODER[:3], "blob", *TOYS)
    assert not (elsewhere / "results").exists()


def test_a_folder_that_cannot_be_written_is_told_before_any_compute(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(rocl().entries, "a.pt")
    monkeypatch.setattr("robench.engine.guest.probe", pytest.fail)
    (elsewhere / "taken").touch()
    words = ("a.pt", *GRID, "--out", "taken")
    done = robench("evaluate", *words)
    assert done.code == 2, done
    assert done.err.startswith("robench: cannot write taken")


def test_weights_that_are_no_numbers_fail_and_are_told(elsewhere: Path) -> None:
    entries = kuangliu().entries
    entries["net"]["module.linear.weight"].fill_(float("nan"))
    torch.save(entries, "a.pt")
    done = robench("evaluate", "a.pt", *PLAIN, *GRID[4:], "--head", "own")
    assert done.code == 1
    assert done.err.count("failed: ") == 2
    assert "the model's logits are not finite" in done.err


def test_help_says_that_data_is_a_name_here() -> None:
    done = robench("evaluate", "--help")
    assert "The data set, such as cifar10." in done.out
    assert "which is --data elsewhere" in " ".join(done.out.split())


def test_it_can_be_finetuned(elsewhere: Path) -> None:
    torch.save(rocl().entries, "a.pt")
    done = robench("evaluate", "a.pt", *GRID, "--probe", "aff(epochs=1, batch=96, steps=1)")
    assert done.code == 0, done
    _, content = result(elsewhere)
    assert content["settings"]["probe"].startswith("aff(")
    assert [row["n"] for row in content["rows"]] == [12, 12]


def test_a_probe_that_fails_is_told_of_once(elsewhere: Path) -> None:
    torch.save(rocl().entries, "a.pt")
    done = robench("evaluate", "a.pt", *GRID, "--probe", "aff(branch=adversarial)")
    assert done.code == 1, done
    assert done.err.count("no BatchNorm branch 'adversarial'; this encoder has clean") == 1
