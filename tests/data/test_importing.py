"""Files that somebody has already are checked and put where they are found."""

from pathlib import Path

import pytest
from cifar_files import (
    TEST,
    TRAIN,
    archived,
    contents,
    described,
    md5,
    one_line,
    quiet,
    write_batches,
    write_split,
)

from robench.contracts import DataError
from robench.data import importing
from robench.data.cifar import CIFAR10
from robench.data.importing import import_files
from robench.data.layouts import Archive, Batches, Parquet, load, locate

FILES = contents()
ARCHIVE = archived(FILES)
CIFAR = described(FILES, ARCHIVE)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(importing, "named", lambda name: CIFAR)
    return tmp_path / "root"


def parquet(folder: Path) -> Path:
    write_split(folder / "train-00000-of-00001.parquet", TRAIN)
    write_split(folder / "test-00000-of-00001.parquet", TEST)
    return folder


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("link", [False, True])
def test_an_archive_of_any_name(root: Path, tmp_path: Path, link: bool) -> None:
    source = tmp_path / "downloaded (1).tar.gz"
    source.write_bytes(ARCHIVE)
    places = import_files("cifar10", source, root, quiet, link=link)
    assert places == (root / "cifar-10-python.tar.gz",)
    assert names(root) == ["cifar-10-python.tar.gz"]
    assert places[0].is_symlink() == link
    assert isinstance(locate(CIFAR, root), Archive)
    assert len(load(CIFAR, root, quiet).test) == len(TEST)


def test_a_folder_of_batches_leaves_other_files_behind(root: Path, tmp_path: Path) -> None:
    folder = write_batches(tmp_path / "from", FILES)
    (folder / "readme.html").write_text("x")
    import_files("cifar10", folder, root, quiet)
    assert names(root) == [f"{CIFAR10.folder}/{name}" for name in sorted(FILES)]
    assert isinstance(locate(CIFAR, root), Batches)


def test_a_folder_of_parquet_files(root: Path, tmp_path: Path) -> None:
    import_files("cifar10", parquet(tmp_path / "from"), root, quiet)
    assert isinstance(locate(CIFAR, root), Parquet)
    assert len(names(root)) == 2


def test_parquet_files_one_by_one(root: Path, tmp_path: Path) -> None:
    for source in sorted(parquet(tmp_path / "from").iterdir()):
        import_files("cifar10", source, root, quiet)
    assert isinstance(locate(CIFAR, root), Parquet)


def test_importing_what_is_in_place_changes_nothing(root: Path) -> None:
    parquet(root / "cifar10")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}
    import_files("cifar10", root, root, quiet)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")} == before


def test_a_damaged_file_is_refused_and_nothing_is_copied(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.tar.gz"
    source.write_bytes(ARCHIVE[:-1])
    with pytest.raises(DataError, match=rf"has MD5 .* expected {md5(ARCHIVE)}") as caught:
        import_files("cifar10", source, root, quiet)
    one_line(caught.value)
    assert not root.exists()


def test_other_shards_would_be_mixed_in(root: Path, tmp_path: Path) -> None:
    write_split(root / "cifar10/train-00000-of-00002.parquet", TRAIN)
    with pytest.raises(DataError, match=r"train-00000-of-00002\.parquet is there already"):
        import_files("cifar10", parquet(tmp_path / "from"), root, quiet)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "does not exist"),
        ("a.zip", "is none of what cifar10 comes in"),
        ("a.parquet", "begins with train- or test-"),
    ],
)
def test_anything_else_is_refused(root: Path, tmp_path: Path, name: str, message: str) -> None:
    if name != "absent":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=message) as caught:
        import_files("cifar10", tmp_path / name, root, quiet)
    assert name in one_line(caught.value)
