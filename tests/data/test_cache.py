"""Data sets are decoded once, and a damaged cache is made anew."""

from pathlib import Path

import numpy as np
import pytest
from cifar_files import TEST, TRAIN, same

from robench.contracts import Data
from robench.data.cache import cached
from robench.data.splits import in_three

DATA = in_three(TRAIN, TEST, tuple("abcdefghij"))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    path = tmp_path / "data" / "source.bin"
    path.parent.mkdir()
    path.write_bytes(b"12345")
    return path


def load(source: Path, kind: str = "x", state: str = "now") -> tuple[Data, bool]:
    """The data set, and whether it was built."""
    built = []

    def build() -> Data:
        built.append(DATA)
        return DATA

    return cached(kind, state, [source], source.parent, build), bool(built)


def arrays(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npy"))


def test_the_second_time_it_is_mapped_from_disk(source: Path) -> None:
    for expected in (True, False):
        data, built = load(source)
        assert built == expected
        assert same(data, DATA)
        assert isinstance(data.train.images, np.memmap)
        assert not data.train.images.flags.writeable
    (folder,) = (source.parent / ".robench-cache").iterdir()
    assert arrays(source.parent) == arrays(folder)
    assert len(list(folder.iterdir())) == 7  # and the index


@pytest.mark.parametrize("which", range(6))
@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_damaged_array_is_noticed_and_made_anew(source: Path, which: int, damage) -> None:
    load(source)
    path = arrays(source.parent)[which]
    content = damage(path.read_bytes())
    path.unlink()
    path.write_bytes(content)
    for expected in (True, False):
        data, built = load(source)
        assert built == expected
        assert same(data, DATA)


@pytest.mark.parametrize("text", ["", "[]", '{"arrays": 3}', '{"arrays": {}}', "\xff"])
def test_a_damaged_index_is_noticed_and_made_anew(source: Path, text: str) -> None:
    load(source)
    (index,) = source.parent.rglob("index.json")
    index.write_bytes(text.encode("latin1"))
    assert load(source)[1]
    assert not load(source)[1]


def test_another_state_is_another_cache_and_the_old_one_goes(source: Path) -> None:
    load(source)
    (older,) = (source.parent / ".robench-cache").iterdir()
    (older / "notes.txt").write_text("not ours")
    assert load(source, state="later")[1]
    assert len(arrays(source.parent)) == 6
    assert [path.name for path in older.iterdir()] == ["notes.txt"]


def test_another_kind_is_left_alone(source: Path) -> None:
    for kind in ("x", "x-other", "y"):
        load(source, kind)
    assert len(arrays(source.parent)) == 18


def test_where_the_folder_cannot_be_written_the_cache_is_at_home_or_in_memory(
    source: Path, tmp_path: Path
) -> None:
    (source.parent / ".robench-cache").write_text("a file, so no folder can be made in it")
    assert [load(source)[1] for _ in range(2)] == [True, False]
    assert len(arrays(tmp_path / "home" / "robench")) == 6
    (tmp_path / "home").rename(tmp_path / "old")
    (tmp_path / "home").write_text("another")
    data, built = load(source)
    assert built
    assert same(data, DATA)
