"""A Parquet file's pages are measured by their own headers, before they unfold."""

import os
import resource
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cifar_files import one_line, quiet

from robench.contracts import DataError
from robench.sources import pages, parquet
from robench.sources.cifar import CIFAR10

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
    ],
)
def test_damaged_headers_end(tmp_path: Path, header: bytes) -> None:
    class Chunk:
        path_in_schema, data_page_offset, dictionary_page_offset = "label", 0, None
        total_compressed_size = len(header)
        num_columns = num_row_groups = 1

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
