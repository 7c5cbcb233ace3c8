"""Data sets are read once, and a change of their files or code never goes unnoticed."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robench.catalog.catalog import Catalog
from robench.contracts import DataError
from robench.data.sources import Sources
from robench.data.splits import digest
from robench.engine.progress import silent
from robench.grid.spec import Spec, parse

CATALOG = Catalog()


def write(path: Path, seed: int = 0, labels: Sequence[int] = (0, 1, 2)) -> bytes:
    """An .npz file of images with these labels in turn; all such files are equal in size."""
    draw = np.random.default_rng(seed)
    arrays = {}
    for part, n in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{part}_images"] = draw.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.resize(labels, n)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path.read_bytes()


class Shelf:
    """A folder of data with a memory, opened each time as by a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.code, self.loads = root, "1", 0

    def open(self) -> Sources:
        def build(name: Spec):  # type: ignore[no-untyped-def]
            made = CATALOG.build("datasets", CATALOG.resolve("datasets", name))
            load = type(made).load

            def counted(*given):  # type: ignore[no-untyped-def]
                self.loads += 1
                return load(made, *given)

            object.__setattr__(made, "load", counted)
            return made

        memory = self.root / "memory.json"
        return Sources(build, lambda name: self.code, self.root, silent, memory)

    def digest(self, name: str) -> str:
        return self.open().digest(parse(name), "test", lambda data: digest(data.test))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.npz")
    return Shelf(tmp_path)


A = "npz(path=a.npz)"


@pytest.mark.parametrize("name", [A, "shapes10(size=8)"])
def test_a_digest_is_remembered_without_loading(shelf: Shelf, name: str) -> None:
    first = shelf.digest(name)
    assert shelf.loads == 1
    assert shelf.digest(name) == first == digest(shelf.open().load(parse(name)).test)
    shelf.loads = 0
    assert shelf.digest(name) == first
    assert shelf.loads == 0


def test_a_file_replaced_in_place_is_noticed_whatever_its_size_and_time(shelf: Shelf) -> None:
    path = shelf.root / "a.npz"
    first, before = shelf.digest(A), path.stat()
    size = len(path.read_bytes())
    assert len(write(path, seed=1)) == size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    other = shelf.digest(A)
    assert other != first
    assert digest(shelf.open().load(parse(A)).test) == other  # nor does the cache serve the old one
    write(path)
    assert shelf.digest(A) == first
    path.touch()
    assert shelf.digest(A) == first


def test_two_folders_with_one_relative_path_are_two_data_sets(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shelf.digest(A)
    write(shelf.root / "elsewhere" / "a.npz", seed=1)
    monkeypatch.chdir(shelf.root / "elsewhere")
    assert shelf.digest(A) != first
    monkeypatch.chdir(shelf.root)
    assert shelf.digest(A) == first


def test_other_code_loads_again(shelf: Shelf) -> None:
    first = shelf.digest(A)
    shelf.code = "2"
    assert shelf.digest(A) == first
    assert shelf.loads == 2


def test_missing_files_are_unknown_and_damaged_ones_an_error(shelf: Shelf) -> None:
    path = shelf.root / "a.npz"
    path.write_bytes(b"damaged")
    with pytest.raises(DataError, match="expected a whole"):
        shelf.digest(A)
    path.unlink()
    assert shelf.digest(A) == ""
    path.mkdir()
    with pytest.raises(DataError, match="not a file"):
        shelf.digest(A)


@pytest.mark.parametrize("memory", [b"", b"[]", b"\xff", b'{"a": {}}'])
def test_a_damaged_memory_is_forgotten(shelf: Shelf, memory: bytes) -> None:
    first = shelf.digest(A)
    (shelf.root / "memory.json").write_bytes(memory)
    assert shelf.digest(A) == first
    assert shelf.loads == 1  # the decoded images are cached


def test_a_set_whose_files_are_not_known_is_loaded_each_time(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CATALOG.component("datasets", "npz"), "files", lambda *_: None)
    assert shelf.digest(A) == shelf.digest(A)
    assert shelf.loads == 2


def test_each_argument_and_place_has_a_cache_of_its_own(shelf: Shelf) -> None:
    for name in ("one/red/0", "one/red/1", "one/blue/0", "one/blue/1", "one/blue/2"):
        path = shelf.root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (len(name), int(name[-1]), 0)).save(path)
    names = ["folder(path=one, size=8)", "folder(path=one, size=16)", A]
    sizes = [shelf.open().load(parse(name)).train.images.shape[2] for name in names * 2]
    assert sizes == [8, 16, 8] * 2
    assert shelf.loads == len(list((shelf.root / ".robench-cache").iterdir())) == 3
    first = shelf.digest(names[0])
    (shelf.root / "one/blue").rename(shelf.root / "one/white")  # now it is the last class
    assert shelf.digest(names[0]) != first


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            [1, 2, 3],
            "no training image of class 0 ('0'); expected images of all 4 classes",
        ),
        (
            [0, 1, 3],
            "no training image of class 2 ('2'); expected images of all 4 classes",
        ),
        ([0, 0, 0], "one class, expected at least two"),
        ([0, 1, 99], "label 99 in row 2 is out of range, expected 0 to 11"),
    ],
)
def test_labels_that_leave_out_a_class_are_said_when_they_are_read(
    shelf: Shelf, labels: list[int], message: str
) -> None:
    write(shelf.root / "a.npz", labels=labels)
    for _ in range(2):  # also from the cache of decoded images
        with pytest.raises(DataError) as caught:
            shelf.open().load(parse(A))
        assert message in str(caught.value)
        assert "a.npz" in str(caught.value)
