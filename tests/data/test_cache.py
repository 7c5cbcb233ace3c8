"""Data sets are decoded once, and a damaged cache is made anew."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from cifar_files import TEST, TRAIN, same

from robench.contracts import Data
from robench.data.cache import cached
from robench.data.splits import in_three

DATA = in_three(TRAIN, TEST, tuple("abcdefghij"))


class Build:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Data:
        self.times += 1
        return DATA


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    path = tmp_path / "data" / "source.bin"
    path.parent.mkdir()
    path.write_bytes(b"12345")
    return path


def arrays(source: Path) -> list[Path]:
    return sorted(source.parent.rglob("*.npy"))


def load(source: Path, build: Build, kind: str = "x") -> Data:
    return cached(kind, source.parent, [source], source.parent, build)


def test_the_second_time_it_is_mapped_from_disk(source: Path) -> None:
    build = Build()
    first, second = (load(source, build) for _ in range(2))
    assert build.times == 1
    assert same(first, DATA)
    assert same(second, DATA)
    assert isinstance(second.train.images, np.memmap)
    assert not second.train.images.flags.writeable
    assert {path.parent.parent for path in arrays(source)} == {source.parent / ".robench-cache"}


@pytest.mark.parametrize("which", range(6))
@pytest.mark.parametrize("damage", ["truncated", "flipped", "removed"])
def test_a_damaged_array_is_noticed_and_made_anew(source: Path, which: int, damage: str) -> None:
    build = Build()
    load(source, build)
    path = arrays(source)[which]
    content = path.read_bytes()
    path.unlink()
    if damage != "removed":
        last = b"" if damage == "truncated" else bytes([content[-1] ^ 1])
        path.write_bytes(content[:-1] + last)
    for _ in range(2):
        assert same(load(source, build), DATA)
    assert build.times == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"arrays": 3}', '{"arrays": {}}', "\xff"])
def test_a_damaged_index_is_noticed_and_made_anew(source: Path, text: str) -> None:
    build = Build()
    load(source, build)
    (index,) = source.parent.rglob("index.json")
    index.write_bytes(text.encode("latin1"))
    assert same(load(source, build), DATA)
    assert build.times == 2


@pytest.mark.parametrize("change", ["size", "time", "name"])
def test_another_source_is_another_cache_and_the_old_one_goes(source: Path, change: str) -> None:
    build = Build()
    load(source, build)
    if change == "size":
        before = source.stat()
        source.write_bytes(b"123456")
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "time":
        os.utime(source, ns=(1, 1))
    else:
        source = source.rename(source.with_name("renamed.bin"))
    load(source, build)
    assert build.times == 2
    assert len(arrays(source)) == 6


def test_nothing_of_others_is_removed(source: Path, tmp_path: Path) -> None:
    """Neither a file beside ours in an old cache, nor what a link in place of one leads to."""
    load(source, Build())
    (old,) = {path.parent for path in arrays(source)}
    (old / "notes.txt").write_text("theirs")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "index.json").write_text("theirs")
    link = old.with_name(old.name[:-16] + "0" * 16)
    link.symlink_to(elsewhere)
    os.utime(source, ns=(1, 1))
    build = Build()
    for _ in range(2):
        load(source, build)
    assert build.times == 1
    assert [path.name for path in old.iterdir()] == ["notes.txt"]
    assert link.is_symlink()
    assert (elsewhere / "index.json").read_text() == "theirs"


def test_another_label_is_left_alone(source: Path) -> None:
    for label in ("x", "x-other", "y"):
        load(source, Build(), label)
    assert len(arrays(source)) == 18


def test_a_folder_that_is_read_only_gets_its_cache_at_home(source: Path, tmp_path: Path) -> None:
    source.parent.chmod(0o555)
    build = Build()
    try:
        for _ in range(2):
            assert same(load(source, build), DATA)
    finally:
        source.parent.chmod(0o755)
    assert build.times == 1
    assert arrays(source) == []
    assert len(list((tmp_path / "home" / "robench").rglob("*.npy"))) == 6


def test_without_any_place_it_stays_in_memory(source: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, so no folder can be made in it")
    (source.parent / ".robench-cache").write_text("another")
    assert same(load(source, Build()), DATA)


def test_nothing_unfinished_is_left_and_others_may_read_it(source: Path) -> None:
    load(source, Build())
    names = {path.name for path in (source.parent / ".robench-cache").rglob("*") if path.is_file()}
    parts = ("train", "held_out", "test")
    arrays_of = {f"{part}-{what}.npy" for part in parts for what in ("images", "labels")}
    assert names == {"index.json", *arrays_of}
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(arrays(source)[0].stat().st_mode) == 0o666 & ~umask
