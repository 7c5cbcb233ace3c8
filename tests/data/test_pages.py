"""A Parquet file's pages are measured by their own headers, before they unfold."""

import gc
import mmap
import os
import re
import resource
import subprocess
import sys
import weakref
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cifar_files import one_line, quiet

from robench.contracts import DataError
from robench.data import pages, parquet
from robench.data.cifar import CIFAR10

KIND = pa.struct([("bytes", pa.binary())])
COLUMNS = ["img.bytes", "label"]


def written(path: Path, images: Any, **how: Any) -> Any:
    table = pa.table({"img": images, "label": pa.array(range(len(images)), pa.int64())})
    pq.write_table(table, path, store_schema=False, **how)
    return pq.ParquetFile(path).metadata


@pytest.mark.parametrize(
    ("compression", "version", "words"),
    [*product(["none", "snappy", "gzip", "zstd"], ["1.0", "2.0"], [True, False])],
)
def test_every_page_is_found(tmp_path: Path, compression: str, version: str, words: bool) -> None:
    dice = np.random.default_rng(0)
    rows = [{"bytes": dice.bytes(int(dice.integers(1, 900)))} for _ in range(300)]
    how: dict[str, Any] = {"compression": compression, "data_page_version": version}
    how |= {"use_dictionary": words, "row_group_size": 120, "data_page_size": 10_000}
    metadata = written(tmp_path / "a.parquet", pa.array(rows, KIND), write_statistics=words, **how)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    whole = max(group.column(0).total_uncompressed_size for group in groups)
    found = pages.largest(tmp_path / "a.parquet", metadata, COLUMNS)
    assert max(len(row["bytes"]) for row in rows) < found < whole


def bomb(path: Path, length: int, rows: int) -> None:
    """One image and a number for each row that has it."""
    one = pa.array([b"x" * length], pa.binary())
    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), one)
    written(path, pa.StructArray.from_arrays([same], ["bytes"]), compression="zstd")


def test_a_file_of_kilobytes_that_unfolds_to_gigabytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MOST_ENCODED_BYTES", 2**27)
    bomb(tmp_path / "a.parquet", 900_000, 20_000)
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError) as caught:
        parquet.read(CIFAR10, [tmp_path / "a.parquet"], quiet, "test")
    assert "has far more bytes of images than it says" in one_line(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB


def test_a_page_out_of_all_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_MOST_AT_ONCE", 50_000)
    bomb(tmp_path / "a.parquet", 60_000, 10)
    with pytest.raises(DataError, match=r"has a page of 60,0\d\d bytes, far more than 50,000"):
        parquet.read(CIFAR10, [tmp_path / "a.parquet"], quiet, "test")


def test_long_pages_are_read_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb(tmp_path / "a.parquet", 60_000, 10)
    monkeypatch.setattr(parquet, "_MOST_AT_ONCE", 200_000)
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        assert parquet._rows(file, tmp_path / "a.parquet", COLUMNS) == 3


@pytest.mark.parametrize("size", [0xFFFFFFFF, 2**31 - 1, 2**40])
def test_a_size_that_is_no_page_s_is_refused(tmp_path: Path, size: int) -> None:
    """The first page's header, with another size in it."""
    metadata = written(
        tmp_path / "a.parquet", pa.array([{"bytes": b"a" * 99}] * 3, KIND), compression="none"
    )
    content = (tmp_path / "a.parquet").read_bytes()
    first = content[4:]
    assert first[0] == 0x15  # field 1, a whole number: the page's type
    assert first[2] == 0x15  # field 2: its unfolded size, two bytes here
    assert first[4] < 128
    forged = bytearray()
    number = size << 1
    while number > 127:
        forged.append(number & 127 | 128)
        number >>= 7
    forged.append(number)
    (tmp_path / "b.parquet").write_bytes(content[:7] + bytes(forged) + first[5:])
    try:
        found = pages.largest(tmp_path / "b.parquet", metadata, COLUMNS)
    except pages.PagesError:
        found = size
    assert found >= size
    with pytest.raises(DataError):
        parquet.read(CIFAR10, [tmp_path / "b.parquet"], quiet, "test")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x15",
        b"\x15\xff\xff",
        b"\x15" + b"\xff" * 40,
        b"\x1c" * 40,
        b"\x19\x15\x00",
        b"\x18\xff\xff\xff\x7f",
        b"\x00",
        b"\x25\x01\x00",
        b"\x15\x00\x18\x01a\x15\x00\x00",  # the unfolded size as bytes
        b"\x15\x00\x16\x08\x15\x00\x00",  # and as a long number
        b"\x1d\x00",  # no kind of value
        b"\x1e\x00",
        b"\x05\x84\x80\x08\x02\x15\x02\x00",  # field 2 + 2**16
        b"\x05\x01\x02\x15\x02\x00",  # field -1
    ],
)
def test_damaged_headers_end(tmp_path: Path, header: bytes) -> None:
    honest = written(tmp_path / "b.parquet", pa.array([{"bytes": b"a"}], KIND))

    class Chunk:
        data_page_offset, dictionary_page_offset = 0, None
        total_compressed_size = len(header)
        schema, num_row_groups = honest.schema, 1

        def row_group(self, _: int) -> "Chunk":
            return self

        column = row_group

    (tmp_path / "a").write_bytes(header or b"\x00")
    if not header:
        Chunk.total_compressed_size = 9
    with pytest.raises(pages.PagesError):
        pages.largest(tmp_path / "a", Chunk(), ["label"])


def test_nothing_of_it_needs_the_file_s_end(tmp_path: Path) -> None:
    metadata = written(tmp_path / "a.parquet", pa.array([{"bytes": b"a"}], KIND))
    os.truncate(tmp_path / "a.parquet", 20)
    with pytest.raises(pages.PagesError, match="beyond the file's end"):
        pages.largest(tmp_path / "a.parquet", metadata, COLUMNS)


@pytest.mark.parametrize("length", [0, 200])
@pytest.mark.parametrize("end", [b"\x00", b"\x10", b"\xf0"])
def test_a_header_ends_where_thrift_says(tmp_path: Path, end: bytes, length: int) -> None:
    """And what follows, another size for one, is the page's content."""
    path = tmp_path / "a"
    path.write_bytes(b"\x15\x00\x15\x90\x03\x15\x0a" + end + b"\x15\x02\x00??" + bytes(length))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert pages._page(data, 0) == (200, 5, 8)


def test_a_part_under_another_name_is_measured(tmp_path: Path) -> None:
    """The reader goes by the schema and does not look at it."""
    path = tmp_path / "a.parquet"
    metadata = written(path, pa.array([{"bytes": b"a" * 700}] * 9, KIND), use_dictionary=False)
    whole = pages.largest(path, metadata, COLUMNS)
    assert whole > 9 * 700
    content = path.read_bytes()
    assert content.count(b"\x28\x03img\x05bytes") >= 1  # older versions write it twice
    path.write_bytes(content.replace(b"\x28\x03img\x05bytes", b"\x28\x03not\x05bytes"))
    with pq.ParquetFile(path) as file:
        assert file.metadata.row_group(0).column(0).path_in_schema == "not.bytes"
        assert len(next(file.iter_batches(columns=COLUMNS))) == 9
        pages.check_summary(path, COLUMNS)
        assert pages.largest(path, file.metadata, COLUMNS) == whole


def test_nothing_of_the_caller_is_kept(tmp_path: Path) -> None:
    """pyarrow keeps an error that a Python file raises for good, with all frames below it."""
    path = tmp_path / "a.parquet"
    written(path, pa.array([{"bytes": b"a" * 700}] * 9, KIND))

    class Large:
        pass

    def check() -> weakref.ref[Large]:
        large = Large()
        pages.check_summary(path, COLUMNS)
        return weakref.ref(large)

    kept = check()
    gc.collect()
    assert kept() is None


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def one(group: bytes) -> bytes:
        assert group.count(old) == 1
        return group.replace(old, new)

    return one


# The size statistics of a part are field 16 (0x3C, three on): field 1 the bytes of its values,
# fields 2 and 3 how often each repetition and definition level comes, as lists (0x19) of 64 bits.
# Three rows have three at the last level: 0x06.
LABEL_END = b"\x19\x26\x00\x06\x00\x00\x00"
LABEL = rb"\x26\x00\x1c\x15\x04.*?" + re.escape(LABEL_END)
COLUMN_KEY = b"\x5c\x2c\x19\x18\x01x\x00\x00"
NO_SENSE = "its summary makes no sense"
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "one definition level fewer": (
        swap(b"\x19\x36\x00\x00\x06", b"\x19\x26\x00\x06"),
        NO_SENSE,
    ),
    "one definition level more": (
        swap(b"\x19\x26\x00\x06", b"\x19\x36\x00\x00\x06"),
        NO_SENSE,
    ),
    "a repetition level more": (
        swap(b"\x3c\x16\x36\x19\x06", b"\x3c\x16\x36\x19\x26\x00\x00"),
        NO_SENSE,
    ),
    "bytes of numbers": (swap(b"\x3c\x29\x06", b"\x3c\x16\x00\x19\x06"), NO_SENSE),
    "a key": (swap(LABEL_END, LABEL_END[:-1] + COLUMN_KEY + b"\x00"), NO_SENSE),
    "a size below zero": (swap(b"\x16\x36\x19", b"\x16\x35\x19"), "not an image"),
    "a column fewer": (
        lambda group: re.sub(
            LABEL, b"", swap(b"\x19\x2c\x26\x00", b"\x19\x1c\x26\x00")(group), flags=re.DOTALL
        ),
        NO_SENSE,
    ),
    "a column more": (
        lambda group: swap(LABEL_END, LABEL_END + b"\x26\x00\x00")(
            swap(b"\x19\x2c\x26\x00", b"\x19\x3c\x26\x00")(group)
        ),
        "not an image",
    ),
    "none": (lambda group: group, "not an image"),
}
READ_ALL = """
import sys
from pathlib import Path
from robench.contracts import DataError
from robench.data import parquet
from robench.data.cifar import CIFAR10
for path in sys.argv[1:]:
    try:
        parquet.read(CIFAR10, [Path(path)], lambda items, label: items, "test")
    except DataError as error:
        print(error, flush=True)
"""


@pytest.mark.skipif(int(pa.__version__.split(".")[0]) < 20, reason="has no size statistics")
def test_a_summary_that_ends_pyarrow_s_process_is_refused(tmp_path: Path) -> None:
    """Three seconds: in a process of its own, all that is imported again."""
    honest = tmp_path / "honest.parquet"
    rows = pa.array([{"bytes": b"a" * 9}] * 6, KIND)
    assert written(honest, rows, row_group_size=3).num_row_groups == 2
    content = honest.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    body, footer = content[: -8 - length], content[-8 - length : -8]
    start = footer.index(b"\x19\x2c\x19\x2c\x26\x00") + 2  # the list of two groups
    middle = footer.index(b"\x19\x2c\x26\x00", start + 4)
    groups = [footer[start:middle], footer[middle:]]
    paths, expected = [], []
    for (name, (damage, message)), which in product(DAMAGES.items(), [0, 1]):
        parts = [*groups]
        parts[which] = damage(parts[which])
        made = footer[:start] + b"".join(parts)
        paths.append(tmp_path / f"{name} {which}.parquet")
        paths[-1].write_bytes(body + made + len(made).to_bytes(4, "little") + b"PAR1")
        expected.append(message)
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *paths], capture_output=True, text=True, timeout=60
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) == len(paths)
    for path, line, message in zip(paths, lines, expected, strict=True):
        assert line.startswith(str(path))
        assert message in line
