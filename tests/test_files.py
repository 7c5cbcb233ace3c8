"""Files are written whole or not at all, and read within their limits."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robench.files import FileTooLarge, atomic_write, read_limited, read_npz, write_npz

MOST = 2**20


def test_a_written_file_replaces_the_old_one_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a"
    for content in (b"old", b"new"):
        with atomic_write(path) as file:
            file.write(content)
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a") as file:
        file.write(bytes(1 // (len(b"half") - 4)))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"theirs")
    (tmp_path / "a").symlink_to(tmp_path / "target")
    with atomic_write(tmp_path / "a") as file:
        file.write(b"ours")
    assert (tmp_path / "target").read_bytes() == b"theirs"
    assert (tmp_path / "a").read_bytes() == b"ours"
    assert not (tmp_path / "a").is_symlink()


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123456")
    assert read_limited(tmp_path / "a", 6) == b"123456"
    assert read_limited(tmp_path / "a", 2**62) == b"123456"  # room is made for the file only
    with pytest.raises(FileTooLarge, match=r"larger than the .* MiB that are read"):
        read_limited(tmp_path / "a", 5)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_pipe_a_device_and_a_folder_are_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        read_limited(path, 10)
    with pytest.raises(OSError, match="not a regular file"):
        read_npz(path, 10)


def test_arrays_come_back_and_equal_ones_make_equal_bytes(tmp_path: Path) -> None:
    made: dict[str, Any] = {
        "a": np.arange(6).reshape(2, 3),
        "b": np.array(["x", "yz"]),
        "c": np.float32(3),
        "d": np.asfortranarray(np.eye(3, dtype=np.uint8)),
        "e": np.zeros((0, 3)),
    }
    hashes = {write_npz(tmp_path / name, made) for name in ("one.npz", "two.npz")}
    assert len(hashes) == 1
    content = (tmp_path / "one.npz").read_bytes()
    for source in (content, tmp_path / "two.npz"):
        found = read_npz(source, MOST)
        assert found.keys() == made.keys()
        assert all((found[name] == made[name]).all() for name in made)
        assert all(found[name].dtype == made[name].dtype for name in made)


def npy(shape: tuple[int, ...], descr: Any = "|u1", content: bytes = b"") -> bytes:
    """An ``.npy`` file whose header claims anything."""
    header = io.BytesIO()
    claim = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, claim)
    return header.getvalue() + content


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def objects() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{}, None], dtype=object))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\3\4",
        zipped(a=npy((2, 3), content=b"123"))[:-30],
        zipped(a=npy((10**12,), content=b"123")),
        zipped(a=npy((-3, -1), content=b"123")),
        zipped(a=npy((10**12,), "<U0")),
        zipped(a=npy((1,), "|V8", bytes(8))),
        zipped(a=npy((1,), "<M8[s]", bytes(8))),
        zipped(a=npy((1,), "|O", bytes(8))),
        zipped(a=b"text"),
        objects(),
    ],
)
def test_anything_but_plain_arrays_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (each has a reason of its own)
        read_npz(content, MOST)
    assert 0 < len(str(caught.value)) <= 300
    assert "\n" not in str(caught.value)


def test_arrays_above_the_limit_are_refused_however_small_the_file() -> None:
    content = zipped(**{f"a{i}": npy((MOST // 4,), content=bytes(MOST // 4)) for i in range(5)})
    assert len(content) < 10_000
    with pytest.raises(ValueError, match="more than the 1,048,576 read"):
        read_npz(content, MOST)
    assert len(read_npz(content, 2 * MOST)) == 5
