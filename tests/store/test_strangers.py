"""Other people's files in a run's folders stay as they are, and nothing is waited for."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import TOY_RUN, files, finished, robench, toys_in, without_figures

from robench.contracts import State
from robench.files import remove
from robench.store import checkpoints as states
from robench.store.checkpoints import FileCheckpoints


def strangers(folder: Path) -> dict[str, tuple[bytes, int]]:
    """A folder of somebody else's, and what is in it: some of it named nearly as ours is."""
    names = (
        "work/notes.txt",
        "1-model.safetensors",
        ".hidden",
        ".00000001-thesis",
        "00000001-0123456789abcdef.safetensors",
        "00000001-0123456789abcdef.safetensors.bak",
        "examples_of_mine.png",
    )
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "empty").mkdir()
    return files(folder)


@pytest.mark.parametrize("link", ["zoo/unfinished", "out/unfinished", "out/cells", "out/.locks"])
def test_a_run_removes_nothing_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    monkeypatch.setattr(states, "EVERY", 0.0)
    before = strangers(tmp_path / "theirs")
    (tmp_path / link).parent.mkdir()
    (tmp_path / link).symlink_to(tmp_path / "theirs")
    with without_figures():
        done = robench(*TOY_RUN, *toys_in(tmp_path))
    assert done.code == 0, done
    assert before.items() <= files(tmp_path / "theirs").items()
    assert (tmp_path / "theirs/empty").is_dir()
    assert ("cannot save a checkpoint" in done.err) == (link.endswith("unfinished"))


def test_a_linked_encoder_is_made_again_beside_the_other_zoo(tmp_path: Path) -> None:
    finished(tmp_path / "theirs")
    own = tmp_path / "mine"
    finished(own)
    (theirs,) = (tmp_path / "theirs/zoo").glob("*/card.json")
    encoder = own / "zoo" / theirs.parent.name
    shutil.rmtree(encoder)
    theirs.write_text("{}")
    before = files(tmp_path / "theirs")
    encoder.symlink_to(theirs.parent)
    with without_figures():
        assert robench(*TOY_RUN, *toys_in(own), "--eps", "2/255").code == 0
    assert files(tmp_path / "theirs") == before
    assert not encoder.is_symlink()


def test_states_are_removed_and_other_files_beside_them_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "EVERY", 0.0)
    folder = tmp_path / "unfinished" / "work"
    before = strangers(folder)
    del before["00000001-0123456789abcdef.safetensors"]
    said: list[str] = []
    checkpoints = FileCheckpoints(folder, {}, said.append)
    for _ in range(3):
        checkpoints.save_if_due(lambda: State({"x": torch.zeros(2)}, {}))
    torn = folder / ".00000007-0123456789abcdef.safetensors.0123abcd"
    torn.write_text("half")
    checkpoints.clear()
    assert files(folder) == before
    assert (folder / "empty").is_dir()


def test_states_behind_a_link_are_neither_used_nor_removed(tmp_path: Path) -> None:
    before = strangers(tmp_path / "theirs/work")
    (tmp_path / "unfinished").symlink_to(tmp_path / "theirs")
    checkpoints = FileCheckpoints(tmp_path / "unfinished/work", {}, pytest.fail)
    assert checkpoints.load() is None
    checkpoints.clear()
    assert files(tmp_path / "theirs/work") == before


def test_figures_of_other_names_stay(tmp_path: Path) -> None:
    finished(tmp_path)
    figures = tmp_path / "out/figures"
    figures.mkdir(exist_ok=True)
    for name in ("examples_of_mine.png", "examples_7.png", "examples_7.tif", "mine.pdf"):
        (figures / name).write_text(name)
    assert robench("report", "--out", str(tmp_path / "out")).code == 0
    kept = {path.name for path in figures.iterdir()}
    assert {"examples_of_mine.png", "examples_7.tif", "mine.pdf"} <= kept
    assert "examples_7.png" not in kept


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def nonsense(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(999))


def link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "table.md")


STRANGE = pytest.mark.parametrize("strange", [pipe, folder, terabyte, nonsense, link])


@STRANGE
def test_anything_in_a_lock_s_place_is_a_line_at_most(
    tmp_path: Path, strange: Callable[[Path], None]
) -> None:
    finished(tmp_path)
    locks = [*tmp_path.rglob("*.lock")]
    before = (tmp_path / "out/table.md").read_bytes()
    for path in locks:
        path.unlink()
        strange(path)
    with without_figures():
        done = robench(*TOY_RUN, *toys_in(tmp_path), "--eps", "2/255")
    assert done.code in (0, 2)
    assert done.err.count("\n") == (done.code == 2)
    assert done.code == 0 or (tmp_path / "out/table.md").read_bytes() == before


@STRANGE
@pytest.mark.parametrize("place", ["out/cells/*.json", "out/cells/*.npz", "zoo/*/card.json"])
def test_anything_in_an_answer_s_place_is_a_line(
    tmp_path: Path, strange: Callable[[Path], None], place: str
) -> None:
    finished(tmp_path)
    path = next(tmp_path.glob(place))
    path.unlink()
    strange(path)
    with without_figures():
        done = robench(*TOY_RUN, *toys_in(tmp_path), "--eps", "2/255")
    assert done.code in (0, 2)
    assert path.stem in done.err or strange is link
    assert "Traceback" not in done.err


@pytest.mark.parametrize("strange", [pipe, folder, terabyte, nonsense])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "--sources", "npz(path=a)"),
        ("run", "--sources", "folder(path=pets)"),
        ("run", "--sources", "cifar10"),
        ("evaluate", "a", "--data", "shapes10"),
    ],
)
def test_anything_in_a_data_file_s_place_is_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strange: Callable[[Path], None],
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROBENCH_DATA", raising=False)
    (tmp_path / "pets/red").mkdir(parents=True)
    shutil.copytree(tmp_path / "pets/red", tmp_path / "pets/blue")
    batches = tmp_path / "data/cifar10"
    batches.mkdir(parents=True)
    for name in ("test", "train"):
        strange(batches / f"{name}-00000-of-00001.parquet")
    for path in ("a", "pets/red/0.png", "pets/blue/0.png", "pets/blue/1.png", "pets/red/1.png"):
        strange(tmp_path / path)
    done = robench(*words)
    assert done.code == 2
    assert done.err.count("\n") == 1


def test_nothing_is_removed_where_the_folder_around_it_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs/work").mkdir(parents=True)
    (tmp_path / "theirs/work/a").write_text("a")
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    (tmp_path / "other").symlink_to(tmp_path / "theirs/work")
    for place in ("link/work", "other"):
        remove(tmp_path / place, "a")
    assert (tmp_path / "theirs/work/a").exists()
    remove(tmp_path / "theirs/work", "a")
    assert list((tmp_path / "theirs").iterdir()) == []
