"""Files are written whole or not at all, and read within their limits."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robench.files import FileTooLarge, atomic_write, read_limited, read_npz, write_npz


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


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as one, atomic_write(tmp_path / "a") as other:
        one.write(b"one")
        other.write(b"other")
    assert (tmp_path / "a").read_bytes() == b"one"


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123456")
    assert read_limited(tmp_path / "a", 6) == b"123456"
    with pytest.raises(FileTooLarge, match=r"larger than the .* MiB that are read"):
        read_limited(tmp_path / "a", 5)


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
    for source in ((tmp_path / "one.npz").read_bytes(), tmp_path / "two.npz"):
        found = read_npz(source)
        assert found.keys() == made.keys()
        assert all((found[name] == made[name]).all() for name in made)
        assert all(found[name].dtype == made[name].dtype for name in made)


def saved(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", content)
    return buffer.getvalue()


def claimed(shape: tuple[int, ...]) -> bytes:
    """A file whose header claims more than there is."""
    header = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, claim)
    return zipped(header.getvalue() + b"123")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\3\4",
        saved(a=np.arange(9))[:-30],
        saved(a=np.zeros(1, "M8[s]")),
        saved(a=np.array([{}, None], dtype=object)),
        claimed((10**15,)),
        claimed((-3, -1)),
        zipped(b"text"),
    ],
)
def test_anything_but_plain_arrays_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (each has a reason of its own)
        read_npz(content)
    assert 0 < len(str(caught.value)) <= 300
    assert "\n" not in str(caught.value)
