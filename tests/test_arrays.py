"""An ``.npz`` file from anywhere: no lies in its headers, no bombs, nothing but plain arrays."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robench import arrays
from robench.arrays import ArraysError
from robench.contracts import DataError
from robench.data import npz

MOST = 2**20


def npy(shape: tuple[int, ...], descr: Any = "|u1", content: bytes = b"") -> bytes:
    """A file whose header says anything."""
    header = io.BytesIO()
    claim = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, claim)
    return header.getvalue() + content


def zipped(*members: tuple[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def refused(content: bytes, most: int = MOST) -> str:
    with pytest.raises(ArraysError) as caught:
        arrays.read(content, most)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_plain_arrays_come_back() -> None:
    made = {
        "a": np.arange(6).reshape(2, 3),
        "b": np.array(["x", "yz"]),
        "c": np.float32(3),
        "d": np.asfortranarray(np.eye(3, dtype=np.uint8)),
        "e": np.zeros((0, 3)),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **made)
    found = arrays.read(buffer.getvalue(), MOST)
    assert all((found[name] == made[name]).all() for name in made)
    assert all(found[name].dtype == made[name].dtype for name in made)


@pytest.mark.parametrize("shape", [(10**12,), (2, 10**6), (1,), ()])
def test_a_header_that_lies_about_its_size_is_refused(shape: tuple[int, ...]) -> None:
    assert "says it has" in refused(zipped(("a.npy", npy(shape, content=b"123"))))


def test_a_negative_shape_and_one_of_nothing_are_refused() -> None:
    refused(zipped(("a.npy", npy((-3, -1), content=b"123"))))
    assert "expected numbers or texts" in refused(zipped(("a.npy", npy((10**12,), "<U0"))))


@pytest.mark.parametrize("descr", ["|O", "|V8", "<c8", "<M8[s]", [("x", "|u1")]])
def test_other_than_numbers_and_texts_are_refused(descr: Any) -> None:
    refused(zipped(("a.npy", npy((1,), descr, bytes(8)))))


def test_more_than_the_limit_is_refused_however_small_the_file() -> None:
    content = zipped(*((f"{i}.npy", npy((MOST // 4,), content=bytes(MOST // 4))) for i in range(5)))
    assert len(content) < 10_000
    assert "more than the 1,048,576 that are read" in refused(content)


def test_a_bomb_is_refused_by_how_far_it_unfolds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_HARMLESS", 2**16)
    content = zipped(("a.npy", npy((MOST,), content=bytes(MOST))))
    assert "a unfolds from 1,1" in refused(content, 2 * MOST)
    noise = np.random.default_rng(0).bytes(MOST)
    kept = arrays.read(zipped(("a.npy", npy((MOST,), content=noise))), 2 * MOST)
    assert kept["a"].tobytes() == noise


def test_a_size_that_the_zip_claims_is_not_believed() -> None:
    """The directory says that the file is longer than it unfolds."""
    content = bytearray(zipped(("a.npy", npy((1000,), content=bytes(10)))))
    place = content.rindex(b"PK\1\2") + 24
    whole = struct.unpack("<I", content[place : place + 4])[0]
    content[place : place + 4] = struct.pack("<I", whole + 990)
    refused(bytes(content))


def test_a_myriad_of_files_is_refused() -> None:
    content = zipped(*((f"{'x' * 200}{i}.npy", b"") for i in range(5000)), kind=zipfile.ZIP_STORED)
    assert "it lists far too many files" in refused(content)


@pytest.mark.parametrize("name", ["../a.npy", "/tmp/a.npy", "C:\\a.npy", "a/../../b.npy"])
def test_names_that_lead_elsewhere_are_only_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Nothing in a zip is ever written to disk."""
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    found = arrays.read(zipped((name, npy((3,), content=b"abc"))), MOST)
    assert [array.tobytes() for array in found.values()] == [b"abc"]
    Path("a.npz").write_bytes(zipped((name, npy((3,), content=b"abc"))))
    with pytest.raises(DataError, match="has the keys"):
        npz.read(Path("a.npz"))
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "a.npz"]


def test_a_long_name_is_not_said_in_full(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(zipped((f"{'x' * 60_000}.npy", npy((1,), content=b"a"))))
    with pytest.raises(DataError) as caught:
        npz.read(tmp_path / "a.npz")
    assert len(str(caught.value)) < 500
