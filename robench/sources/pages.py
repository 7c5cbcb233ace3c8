"""How large the pages of a Parquet file unfold, told by their own headers.

A reader makes room for a page by its header, and that may say 2 GiB where the file has a kilobyte;
the file's summary, at its end, need not say so. The headers are Thrift's compact protocol
(parquet-format, ``PageHeader``: field 2 is the unfolded size, field 3 the size in the file).
"""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_MOST_PAGES = 1_000_000
_DEEPEST = 8  # structs in structs; a page's header has three

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE = 0, 1, 2, 3, 7
_BINARY, _LIST, _SET, _MAP, _STRUCT = range(8, 13)


class PagesError(ValueError):
    """The pages are not laid out as the summary says."""


def largest(path: Path, metadata: Any, columns: Sequence[str]) -> int:
    """The unfolded size of the largest page of these columns, in bytes.

    ``metadata`` is pyarrow's `FileMetaData` of the file. Raises PagesError where a page does not
    lie within its column.
    """
    most, left = 0, _MOST_PAGES
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for start, end in _chunks(metadata, columns):
            if not 0 <= start <= end <= len(data):
                raise PagesError("a column lies beyond the file's end")
            while start < end:
                left -= 1
                unfolded, size, start = _page(data, start)
                start += size
                if min(unfolded, size, left) < 0 or start > end:
                    raise PagesError("a page does not lie within its column")
                most = max(most, unfolded)
    return most


def _chunks(metadata: Any, columns: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where each part of the columns begins and ends in the file."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            chunk = group.column(place)
            if chunk.path_in_schema in columns:
                start = chunk.data_page_offset
                words = chunk.dictionary_page_offset
                start = words if words and 0 < words < start else start
                yield start, start + chunk.total_compressed_size


def _page(data: mmap.mmap, at: int) -> tuple[int, int, int]:
    """A page's unfolded size, its size in the file, and where it begins after its header."""
    sizes = {2: -1, 3: -1}
    field = 0
    try:
        while (byte := data[at]) != _STOP:
            at += 1
            if byte >> 4:
                field += byte >> 4
            else:
                field, at = _number(data, at)
            if field in sizes:
                sizes[field], at = _number(data, at)
            else:
                at = _skip(data, at, byte & 15, 0)
    except IndexError:
        raise PagesError("a page's header is cut off") from None
    return sizes[2], sizes[3], at + 1


def _skip(data: mmap.mmap, at: int, kind: int, depth: int) -> int:
    """Where the value at ``at`` ends."""
    if depth > _DEEPEST:
        raise PagesError("a page's header has no end")
    if kind in (_TRUE, _FALSE):
        return at
    if kind in (_BYTE, _DOUBLE):
        return at + (1 if kind == _BYTE else 8)
    if kind == _BINARY:
        length, at = _varint(data, at)
        return at + length
    if kind == _STRUCT:
        while (byte := data[at]) != _STOP:
            at = at + 1 if byte >> 4 else _varint(data, at + 1)[1]
            at = _skip(data, at, byte & 15, depth + 1)
        return at + 1
    if kind in (_LIST, _SET, _MAP):
        raise PagesError("a page's header has a list, which no page has")
    return _varint(data, at)[1]


def _number(data: mmap.mmap, at: int) -> tuple[int, int]:
    """A whole number with a sign, and where it ends."""
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise PagesError("a page's header has a number without an end")
