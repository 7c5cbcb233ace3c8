"""The same command never answers with numbers that today's code, data and weights do not give."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commands import PLUGINS, Done, robench, without_figures

import robench as package

TOYS = ("blobs", "tiny", "mirror", "nudge")
ASKED = {
    "methods": "mirror",
    "sources": "blobs",
    "encoders": "tiny",
    "attacks": "nudge",
    "epochs": "1",
    "images": "96",
    "batch": "48",
    "limit": "32",
}
FILE = "npz(path=x.npz)"


def npz(path: Path, seed: int = 0, turn: int = 0, test_turn: int = 0, classes: int = 4) -> None:
    """Noise with a bright corner for each class; all files are equal in size."""
    draw, arrays = np.random.default_rng(seed), {}
    for part, n in (("train", 96), ("val", 16), ("test", 32)):
        images, labels = draw.integers(0, 120, (n, 8, 8, 3)), np.arange(n) % classes
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label) % 4, 2)
            image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 90
        arrays[f"{part}_images"] = images.astype(np.uint8)
        shift = turn + (test_turn if part == "test" else 0)
        arrays[f"{part}_labels"] = (labels + shift) % classes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


class Desk:
    """A folder with plug-ins and data of one's own, and the runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in TOYS:
            shutil.copy(PLUGINS / f"{name}.py", folder)
        npz(folder / "x.npz")

    def plugins(self) -> tuple[str, ...]:
        files = (str(self.folder / f"{name}.py") for name in TOYS)
        return tuple(word for file in files for word in ("--plugin", file))

    def words(self, *words: str, out: str = "out", zoo: str = "zoo", **asked: str) -> list[str]:
        places = ("--out", str(self.folder / out), "--zoo", str(self.folder / zoo))
        options = [w for name, value in {**ASKED, **asked}.items() for w in (f"--{name}", value)]
        return ["run", *self.plugins(), *places, *options, *words]

    def run(self, *words: str, **asked: str) -> Done:
        done = robench(*self.words(*words, **asked))
        assert done.code == 0, done
        return done

    def read(self, *words: str, out: str = "out") -> Done:
        return robench(*words, *self.plugins(), "--out", out, "--zoo", "zoo")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def frame(self, out: str = "out") -> pd.DataFrame:
        return pd.read_csv(self.folder / out / "results.csv", keep_default_na=False)

    def cells(self, out: str = "out") -> dict[str, dict[str, Any]]:
        """What each reported cell says of itself, and all that happened to its images."""
        found = {}
        for key in self.frame(out)["key"]:
            path = self.folder / out / "cells" / f"{key}.json"
            found[key] = {
                "identity": json.loads(path.read_text())["identity"],
                **{k: v.tobytes() for k, v in np.load(path.with_suffix(".npz")).items()},
            }
        return found

    def is_true(self, out: str = "out", **asked: str) -> bool:
        """Whether all that is reported is what a first run gives, in a folder of its own."""
        self.run(out="fresh/out", zoo="fresh/zoo", **asked)
        fresh = self.cells("fresh/out")
        shutil.rmtree(self.folder / "fresh")
        reported = self.cells(out)
        return fresh.keys() <= reported.keys() and all(reported[k] == fresh[k] for k in fresh)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    with without_figures():
        yield Desk(tmp_path)


def again(done: Done) -> list[str]:
    """The lines that say why something is computed again."""
    return [line for line in done.out.splitlines() if "was made: computing it again" in line]


# --- code

EDITS = {
    "nudge": ("sign()", "sign().neg()"),
    "mirror": ("return nt_xent(", "return -nt_xent("),
    "tiny": ("Conv2d(3, width, 3", "Conv2d(3, width, 5"),
}


@pytest.mark.parametrize("out", ["out", "elsewhere"])
@pytest.mark.parametrize("name", EDITS)
def test_an_edited_plug_in_answers_with_its_own_numbers(desk: Desk, name: str, out: str) -> None:
    desk.run()
    before = desk.cells()
    desk.edit(f"{name}.py", *EDITS[name])
    done = desk.run(out=out)
    assert again(done) or (name, out) == ("nudge", "elsewhere")  # where no such cell is yet
    assert all(f"/{name} (" in line and f"{name}.py" in line for line in again(done)[:1])
    assert desk.cells(out) != before
    assert desk.is_true(out)
    assert not again(desk.run(out=out))
    desk.edit(f"{name}.py", "import torch" if name != "tiny" else "from torch", "# x\nimport torch"
              if name != "tiny" else "# x\nfrom torch")  # fmt: skip
    assert not again(desk.run(out=out))


def test_what_a_plug_in_imports_of_its_authors_is_part_of_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(desk.folder))
    (desk.folder / "of_mine").mkdir()
    (desk.folder / "of_mine/__init__.py").write_text("from .sizes import SIZE\n")
    sizes = desk.folder / "of_mine/sizes.py"
    sizes.write_text("SIZE = 1.0\n")
    desk.edit("nudge.py", "import torch\nfrom", "import of_mine\nimport torch\nfrom")
    desk.edit("nudge.py", "self.eps * gradient", "of_mine.SIZE * self.eps * gradient")
    desk.run()
    before = desk.cells()
    sizes.write_text("SIZE = -1.0\n")
    assert "sizes.py" in again(desk.run())[0]
    assert desk.cells() != before
    assert desk.is_true()


def test_an_edited_built_in_answers_with_its_own_numbers(desk: Desk) -> None:
    """A row never mixes numbers of the old code with those of the new."""
    both = {"attacks": "pgd(steps=3)", "eps": "0.5,0.4"}
    desk.run(**both)
    before = desk.frame().set_index("key")["accuracy"]
    copy = desk.folder / "copy" / "robench"
    shutil.copytree(Path(package.__file__).parent, copy)
    ascend = copy / "tensors/ascend.py"
    text = ascend.read_text()
    ascend.write_text(text + "\n# A comment is no other code.\n")

    def run(**asked: str) -> str:
        words = [sys.executable, "-m", "robench", *desk.words(**{**both, **asked})]
        path = {**os.environ, "PYTHONPATH": str(copy.parent), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, env=path, capture_output=True, text=True, check=True)
        return done.stdout

    assert "computing it again" not in run()
    ascend.write_text(
        text.replace("step(images, gradient, step_size)", "step(images, -gradient, step_size)")
    )
    assert ascend.read_text() != text
    said = run(eps="0.5")
    assert re.search(r"the code of attacks/pgd \(.*ascend.py\) changed since", said)
    after = desk.frame().set_index("key")
    assert list(after["eps"]) == ["", "0.5"]  # the other radius was not asked for: it is left out
    assert after["accuracy"].iloc[1] > before[after.index[1]]


def test_a_training_does_not_go_on_with_another_loss(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robench.store.checkpoints.EVERY", 0.0)
    longer = {"epochs": "4"}
    stop = "if batch.epoch == 2: raise KeyboardInterrupt\n        images = batch.images"
    desk.edit("mirror.py", "images = batch.images", stop)
    assert robench(*desk.words(**longer)).code == 130
    assert list((desk.folder / "zoo/unfinished").rglob("*.safetensors"))
    desk.edit("mirror.py", stop, "images = batch.images")
    desk.edit("mirror.py", *EDITS["mirror"])
    done = desk.run(**longer)
    assert "another objectives/mirror than now; starting anew" in done.out + done.err
    assert desk.is_true(**longer)


def test_older_code_is_accepted_knowingly_and_said_in_the_caption(desk: Desk) -> None:
    desk.run()
    before = desk.cells()
    desk.edit("nudge.py", *EDITS["nudge"])
    desk.edit("mirror.py", *EDITS["mirror"])
    done = desk.run("--accept-older-code")
    assert not again(done)
    assert desk.cells() == before
    caption = (desk.folder / "out/table.md").read_text().partition("|")[0]
    accepted = r"Older code of attacks/nudge \(.*, objectives/mirror \(.*mirror.py\) was accepted"
    assert re.search(accepted, caption)
    npz(desk.folder / "x.npz", seed=1)
    assert again(desk.run())
    assert "accepted" not in (desk.folder / "out/table.md").read_text()
    assert desk.is_true()


# --- data

CHANGES: dict[str, dict[str, int]] = {
    "labels": {"turn": 1},
    "test labels": {"test_turn": 1},
    "images": {"seed": 1},
    "classes": {"classes": 3},
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("where", ["sources", "targets"])
def test_a_file_replaced_in_place_is_other_data(desk: Desk, where: str, what: str) -> None:
    asked = {where: FILE} | ({"targets": FILE} if where == "sources" else {})
    desk.run(**asked)
    before, status = desk.cells(), (desk.folder / "x.npz").stat()
    npz(desk.folder / "x.npz", **CHANGES[what])
    os.utime("x.npz", ns=(status.st_atime_ns, status.st_mtime_ns))
    done = desk.run(**asked)
    assert f"the data {FILE} changed since" in again(done)[0]
    assert "damaged" not in done.out + done.err
    assert desk.cells() != before
    assert desk.is_true(**asked)
    assert not again(desk.run(**asked))


def test_the_same_name_in_another_folder_is_other_data(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"sources": FILE}
    desk.run(**asked)
    npz(desk.folder / "there/x.npz", seed=1, turn=1)
    monkeypatch.chdir(desk.folder / "there")
    assert again(desk.run(**asked))
    assert desk.is_true(**asked)


def test_two_data_sets_never_share_a_row(desk: Desk) -> None:
    asked = {"sources": FILE, "attacks": "nudge"}
    desk.run(**asked, eps="8/255")
    npz(desk.folder / "x.npz", turn=1)
    desk.run(**asked, eps="4/255")
    assert desk.is_true(**asked, eps="4/255")
    assert set(desk.frame()["eps"]) == {"", "4/255"}
    assert desk.read("report").code == 0
    frame, cells = desk.frame(), desk.cells()
    frame["data"] = [cells[key]["identity"]["data"] for key in frame["key"]]
    assert len(frame) == 3
    assert set(frame.groupby("target")["data"].nunique()) == {1}
    assert set(frame["flags"]) == {"", "outdated"}


def test_a_checkpoint_is_evaluated_again_when_its_data_changed(desk: Desk) -> None:
    from layout_files import LAYOUTS

    torch.save(LAYOUTS["rocl"]().entries, "ckpt.t7rocl_0")
    words = ("evaluate", "ckpt.t7rocl_0", "--encoder", "resnet18(width=4)", "--data", FILE)
    words += ("--attacks", "nudge", "--eps", "8/255", "--limit", "12", "--probe", "linear")
    words += desk.plugins()

    def run(out: str) -> Done:
        done = robench(*words, "--out", out, "--zoo", out)
        assert done.code == 0, done
        return done

    run("out")
    before = desk.cells()
    npz(desk.folder / "x.npz", turn=1)
    assert f"the data {FILE} changed" in again(run("out"))[0]
    run("fresh")
    assert before != desk.cells() == desk.cells("fresh")


LABELLED = """
from robench.contracts import Encoder, Objective
from torch import nn
class Labelled(Objective):
    def __init__(self, encoder: Encoder, *, labels: bool = True):
        super().__init__()
        self.encoder, self.head, self.uses_labels = encoder, nn.Linear(encoder.width, 4), labels
    def forward(self, batch):
        labels = batch.labels if self.uses_labels else batch.index % 4
        return nn.functional.cross_entropy(self.head(self.encoder(batch.images)), labels)
"""


def test_labels_are_data_of_a_method_that_uses_them(desk: Desk) -> None:
    (desk.folder / "labelled.py").write_text(LABELLED)
    asked = {"sources": FILE, "methods": "labelled,labelled(labels=false)"}
    words = ("--plugin", str(desk.folder / "labelled.py"))
    desk.run(*words, **asked)
    before = {
        path.parent.name: path.read_bytes()
        for path in sorted((desk.folder / "zoo").glob("*/encoder.safetensors"))
    }
    npz(desk.folder / "x.npz", turn=1)
    desk.run(*words, **asked)
    kept = [
        data == (desk.folder / "zoo" / name / "encoder.safetensors").read_bytes()
        for name, data in before.items()
    ]
    assert sorted(kept) == [False, True]


def test_cells_of_what_is_not_at_hand_stand_beside_those_that_are(desk: Desk) -> None:
    (desk.folder / "labelled.py").write_text(LABELLED)
    words = ("--plugin", str(desk.folder / "labelled.py"))
    desk.run(*words, sources=FILE, methods="labelled")
    desk.run(sources=FILE)
    assert set(desk.frame()["method"]) == {"labelled(labels=true)", "mirror"}
    (desk.folder / "x.npz").write_bytes(b"damaged")
    assert "the data npz(path=x.npz) changed since" in desk.run().out


# --- weights


def spoiled(desk: Desk, zoo: str) -> None:
    """Train the same encoder to other weights, as on another machine."""
    stored = (desk.folder / "mirror.py").read_text()
    desk.edit("mirror.py", "return nt_xent(", "return 1.5 * nt_xent(")
    desk.run(out=f"{zoo}-out", zoo=zoo)
    (desk.folder / "mirror.py").write_text(stored)
    for card in (desk.folder / zoo).glob("*/card.json"):
        from robench.store.formats import sealed

        content = json.loads(card.read_text())
        own = json.loads(next((desk.folder / "zoo").glob("*/card.json")).read_text())
        content["identity"] = own["identity"]
        card.write_bytes(sealed(json.dumps(content).encode()))


def test_a_cell_is_of_the_encoder_in_the_zoo(desk: Desk) -> None:
    desk.run(eps="8/255")
    spoiled(desk, "other")
    done = desk.run(eps="4/255", zoo="other")
    assert again(done) == [line for line in again(done) if line.startswith("the weights changed")]
    hashes = {tuple(cell["identity"]["parents"]) for cell in desk.cells().values()}
    assert len(desk.cells()) == 2
    assert len(hashes) == 1


def test_a_cell_from_another_run_is_not_believed(desk: Desk) -> None:
    desk.run()
    spoiled(desk, "other")
    true = desk.cells()
    for file in (desk.folder / "other-out/cells").iterdir():
        shutil.copy(file, desk.folder / "out/cells")
    assert again(desk.run())
    assert desk.cells() == true


def test_a_row_is_of_one_encoder_where_the_zoo_is_lost(desk: Desk) -> None:
    desk.run(eps="8/255")
    spoiled(desk, "other")
    (desk.folder / "mixed/cells").mkdir(parents=True)
    for file in (desk.folder / "other-out/cells").glob("*-clean-*"):
        shutil.copy(file, desk.folder / "mixed/cells")
    desk.run(eps="4/255", out="mixed", zoo="new")
    assert desk.is_true("mixed", eps="4/255")


# --- published folders


def test_a_published_row_stands_with_a_footnote(desk: Desk) -> None:
    folder = desk.folder / "results/quick"
    desk.run(out="results/quick")
    (folder / "published.json").write_text("{}")
    before = (folder / "results.csv").read_bytes()
    desk.edit("nudge.py", *EDITS["nudge"])
    words = desk.words()
    done = robench(*words[: words.index("--out")], *words[words.index("--zoo") :])
    assert done.code == 0, done
    assert not again(done)
    assert "changed since 2 of the stored cells" in done.out
    assert "flagged: outdated" in done.out
    assert (folder / "results.csv").read_bytes() == before
    for reading in (["report"], ["worst-case", "nudge"]):
        shown = desk.read(*reading, out="results/quick")
        assert shown.code == 0, shown
        assert "changed since 2 of the stored cells" in shown.err
    assert "flagged: outdated" in (folder / "table.md").read_text()
    # Whoever names the folder computes anew.
    assert again(desk.run(out="results/quick"))
    assert "outdated" not in (folder / "table.md").read_text()


def test_a_run_says_what_it_read(desk: Desk) -> None:
    desk.run()
    path = next((desk.folder / "out/cells").glob("*.json"))
    made = json.loads(path.read_text())["provenance"]
    at = f" at commit {made['commit']}" if made["commit"] else ""
    assert f"\nread 3 cells, made {made['finished'][:10]}{at}\n" in desk.run().out
