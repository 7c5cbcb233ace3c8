"""The published archive, were it somebody else's: nothing in it is ever unpacked to disk."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from cifar_files import archived, contents, described, md5, one_line

from robench.contracts import DataError
from robench.data import batches
from robench.data.batches import read_archive
from robench.data.cifar import CIFAR10

NAMES = ("data_batch_1", "data_batch_2", "test_batch")


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


def archive(path: Path, *members: tarfile.TarInfo) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for one in members:
            tar.addfile(one, io.BytesIO(bytes(one.size)))
    return md5(path.read_bytes())


def refused(path: Path, digest: str) -> str:
    cifar = replace(described(contents()), archive=(CIFAR10.archive[0], digest))
    with pytest.raises(DataError) as caught:
        read_archive(cifar, path)
    return one_line(caught.value)


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "../../../../etc/passwd"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (tarfile.DIRTYPE, ""),
    ],
)
def test_links_and_devices_are_no_batches(tmp_path: Path, kind: bytes, link: str) -> None:
    members = [member(f"{CIFAR10.folder}/{name}", kind, link) for name in NAMES]
    told = refused(tmp_path / "a.tar.gz", archive(tmp_path / "a.tar.gz", *members))
    assert "has no file cifar-10-batches-py/data_batch_1" in told
    assert [path.name for path in tmp_path.rglob("*")] == ["a.tar.gz"]


@pytest.mark.parametrize("name", ["../{}", "/tmp/{}", "./../x/{}", "x/../../{}"])
def test_names_that_lead_elsewhere_are_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    members = [member(name.format(one), size=9) for one in NAMES]
    told = refused(Path("a.tar.gz"), archive(Path("a.tar.gz"), *members))
    assert "has no file cifar-10-batches-py/data_batch_1" in told
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "a.tar.gz"]
    assert not any(Path("/tmp", one).exists() for one in NAMES)


def test_a_batch_out_of_all_measure_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_MOST_BYTES", 10**5)
    members = [member(f"{CIFAR10.folder}/{name}", size=10**6) for name in NAMES]
    digest = archive(tmp_path / "a.tar.gz", *members)
    assert (tmp_path / "a.tar.gz").stat().st_size < 5000
    assert "has no file" in refused(tmp_path / "a.tar.gz", digest)


def test_the_checksum_comes_before_the_first_byte_is_unfolded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tar.gz").write_bytes(archived(contents()))
    monkeypatch.setattr("tarfile.open", lambda *a, **k: pytest.fail("it was opened"))
    assert "expected 0000" in refused(tmp_path / "a.tar.gz", "0000")


def test_a_batch_s_checksum_comes_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**contents(), "data_batch_1": b"another"}
    (tmp_path / "a.tar.gz").write_bytes(archived(files))
    monkeypatch.setattr(batches.plain_pickle, "read", lambda content: pytest.fail("it was read"))
    digest = md5((tmp_path / "a.tar.gz").read_bytes())
    cifar = replace(described(contents()), archive=("a", digest))
    with pytest.raises(DataError, match=f"data_batch_1 has MD5 {md5(b'another')}, expected"):
        read_archive(cifar, tmp_path / "a.tar.gz")
