"""What may go wrong half-way: nothing finished is lost, and the same command ends the same.

Each fault is met by a whole small run, so these tests take a second or two each.
"""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import PLUGINS, TOY_RUN, finished, robench, toys_in, without_figures
from killed import end_state, leftovers
from PIL import Image

from robench.engine import local
from robench.store import checkpoints as states


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every run draws no figures, keeps a state after every step, and waits for nobody long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(states, "EVERY", 0.0)
    monkeypatch.setattr(local, "PAUSE", 0.01)
    with without_figures():
        yield tmp_path


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The end of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("calm")
    finished(folder)
    return end_state(folder)


def assert_it_ends_the_same(folder: Path, expected: dict[str, str]) -> None:
    done = robench(*TOY_RUN, *toys_in(folder))
    assert done.code == 0, done
    state = end_state(folder)
    assert {name: state[name] for name in expected} == expected
    assert leftovers(folder) == []


def failing(number: int, code: int) -> Callable[[int], None]:
    """`os.fsync` whose call of that number fails, and all that follow."""
    calls = 0
    fsync = os.fsync

    def fail(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= number:
            raise OSError(code, os.strerror(code))
        fsync(file)

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_is_full_a_little_later_each_time(
    elsewhere: Path, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    words = (*TOY_RUN, *toys_in(elsewhere))
    tries = 0
    for number in range(1, 100):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(number, code))
            done = robench(*words)
        if done.code == 0:
            break
        tries += 1
        assert done.code == 2
        last = done.err.strip().splitlines()[-1]
        assert str(elsewhere) in last
        assert os.strerror(code) in last
        assert not [path for path in elsewhere.rglob(".*") if path.name != ".locks"]
    assert tries >= 5
    assert_it_ends_the_same(elsewhere, expected)


def test_a_real_full_disk(tmp_path: Path, expected: dict[str, str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only the superuser may mount a small disk")
    try:
        done = robench(*TOY_RUN, *toys_in(disk))
        assert done.code == 2
        assert "No space left on device" in done.err.splitlines()[-1]
        assert not [path for path in disk.rglob(".*") if path.is_file()]
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        assert_it_ends_the_same(disk, expected)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def during(label: str, act: Callable[[], None]) -> Callable[..., Iterator[Any]]:
    """Progress that lets something happen, once, in the midst of the work of that label."""
    acts = [act]

    def progress(items: Sequence[Any], desc: str, **rest: Any) -> Iterator[Any]:
        for item in items:
            if label in desc and acts:
                acts.pop()()
            yield item

    return progress


@pytest.mark.parametrize("label", ["pretraining", "linear", "pgd"])
def test_a_folder_that_is_read_only_half_way(
    elsewhere: Path, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    make = Path.open

    def refuse(self: Path, mode: str = "r", *words: Any, **named: Any) -> Any:
        if "x" in mode and self.is_relative_to(elsewhere):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return make(self, mode, *words, **named)

    with monkeypatch.context() as patch:
        progress = during(label, lambda: patch.setattr(Path, "open", refuse))
        patch.setattr("robench.engine.progress.tqdm", progress)
        done = robench(*TOY_RUN, *toys_in(elsewhere))
    assert done.code == 2
    assert "Read-only file system" in done.err.splitlines()[-1]
    assert_it_ends_the_same(elsewhere, expected)


def test_a_folder_that_is_read_only_from_the_start(elsewhere: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write anywhere")
    (elsewhere / "out").mkdir(mode=0o500)
    done = robench(*TOY_RUN, *toys_in(elsewhere))
    assert done.code == 2
    assert "choose another folder" in done.err


def pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 100), ("test", 8)):
        for number, name in enumerate(("a", "b")):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 128, (8, 8, 3)) + 100 * number
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / part / name / f"{i}.png")


def test_data_that_are_lost_half_way_and_come_back(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, away = elsewhere / "data" / "mine", elsewhere / "away"
    pictures(data)
    plugins = [word for name in ("tiny", "mirror") for word in ("--plugin", f"{PLUGINS}/{name}.py")]
    source = "folder(path=mine, size=8)"
    words = (
        *("run", *plugins, "--methods", "mirror", "--encoders", "tiny", "--epochs", "2"),
        *("--sources", source, "--targets", source, "--attacks", "pgd", "--eps", "8/255"),
        *("--images", "160", "--data", str(elsewhere / "data")),
    )

    def places(name: str) -> tuple[str, ...]:
        return ("--out", f"{name}/out", "--zoo", f"{name}/zoo")

    assert robench(*words, *places("calm")).code == 0

    def lose() -> None:
        data.rename(away)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("robench.engine.progress.tqdm", during("pgd", lose))
        assert robench(*words, *places("lost")).code == 130
    done = robench(*words, *places("lost"))
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "mine' does not exist" in done.err
    away.rename(data)
    done = robench(*words, *places("lost"))
    assert done.code == 0, done
    assert end_state(elsewhere / "lost") == end_state(elsewhere / "calm")


def test_a_clock_that_jumps_changes_nothing(
    elsewhere: Path, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: float((-1) ** next(jumps) * 10**9))
    assert_it_ends_the_same(elsewhere, expected)
    rows = (elsewhere / "out" / "results.csv").read_text().splitlines()
    column = rows[0].split(",").index("seconds")
    assert all(0 <= float(row.split(",")[column]) < 60 for row in rows[1:])


def test_a_loss_that_is_no_number_costs_its_cells_and_keeps_the_last_good_state(
    elsewhere: Path, expected: dict[str, str]
) -> None:
    text = (PLUGINS / "mirror.py").read_text()
    text = text.replace("super().__init__()", "super().__init__()" + COUNTER)
    text = text.replace("        return nt_xent(", LOST + "        return scale * nt_xent(")
    (elsewhere / "lost.py").write_text(text)
    words = [*TOY_RUN, *toys_in(elsewhere), "--plugin", "lost.py"]
    words[words.index("mirror")] = "lost,mirror"
    words[words.index("--epochs") + 1] = "3"
    done = robench(*words)
    assert done.code == 1
    failed, missing = done.err.strip().splitlines()
    (state,) = (elsewhere / "zoo").glob("unfinished/lost-*/00000002-*.safetensors")
    assert "pretraining lost on blobs, seed 0: the loss is nan in epoch 3, step 1 of 1; " in failed
    assert "try a smaller learning rate than 0.002, or a longer warm-up than 1 epochs" in failed
    assert failed.endswith(f"the last good state is {state}")
    assert missing == "robench: 2 of 4 cells are missing"
    assert "pretraining mirror" in done.out
    again = robench(*words)  # goes on from there, to the same end
    assert again.code == 1
    assert again.err.splitlines() == [f"robench: going on from {state}", failed, missing]


COUNTER = """
        self.register_buffer("steps", torch.zeros(()))"""
LOST = """        self.steps += 1
        scale = float("nan") if self.steps == 3 else 1.0
"""


def test_memory_that_runs_out_costs_one_cell(elsewhere: Path) -> None:
    text = (PLUGINS / "nudge.py").read_text()
    (elsewhere / "greedy.py").write_text(
        text.replace("        images =", f"{GREEDY}        images =")
    )
    words = [*TOY_RUN, *toys_in(elsewhere), "--plugin", "greedy.py"]
    words[words.index("pgd")] = "greedy,pgd"
    done = robench(*words)
    assert done.code == 0
    cell = next((elsewhere / "out" / "cells").glob("*greedy*.json")).read_text()
    assert '"batch": 4,' in cell
    others = [path.read_text() for path in (elsewhere / "out" / "cells").glob("*pgd*.json")]
    assert all('"batch": null' in text for text in others)


GREEDY = """        if len(images) > 7:
            torch.empty(2**50, dtype=torch.uint8)
"""
