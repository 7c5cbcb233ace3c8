"""How large the pages of a Parquet file unfold, told by their own headers.

A reader makes room for a page by its header, and that may say 2 GiB where the file has a kilobyte;
the file's summary, at its end, need not say so. The headers are Thrift's compact protocol
(parquet-format, ``PageHeader``: field 2 is the unfolded size, field 3 the size in the file).
"""

import mmap
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

_MOST_PAGES = 1_000_000
_DEEPEST = 8  # structs in structs; a page's header has three

_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE = range(8)
_BINARY, _STRUCT = 8, 12


class PagesError(ValueError):
    """The pages are not laid out as the summary says."""


def check_summary(path: Path, columns: Sequence[str]) -> None:
    """See that pyarrow takes what the summary says of these columns, in every group of rows.

    Raises PagesError where it does not. To be called before `largest`.
    """
    from pyarrow.parquet import ParquetFile  # large, and few runs read one

    # Asked for a column's part, FileMetaData ends the process where Arrow's C++ throws (at a
    # histogram of another length, say); the reader raises. To fetch in advance, the reader takes
    # all the parts before it reads any, and is stopped there: no page unfolds.
    with _Sealable(path) as raw, ParquetFile(raw, pre_buffer=True) as file:
        raw.sealed = True
        try:
            next(file.iter_batches(1, columns=list(columns), use_threads=False), None)
        except Exception as error:
            if not raw.asked:
                raise PagesError(f"its summary makes no sense ({error})") from None


class _Sealable(FileIO):
    """A file that can be told to end at once; ``asked`` says whether it was read after that.

    It raises nothing: pyarrow never lets go of an error from Python, nor of what its frames hold.
    """

    sealed = asked = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked = self.sealed
        return b"" if self.sealed else super().read(size) or b""


def largest(path: Path, metadata: Any, columns: Sequence[str]) -> int:
    """The unfolded size of the largest page of these columns, in bytes.

    ``metadata`` is pyarrow's `FileMetaData` of the file, and `check_summary` has passed it. Raises
    PagesError where a page does not lie within its column.
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
    places = _places(metadata.schema, columns)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in places:
            chunk = group.column(place)
            start = chunk.data_page_offset
            words = chunk.dictionary_page_offset
            start = words if words and 0 < words < start else start
            yield start, start + chunk.total_compressed_size


def _places(schema: Any, columns: Sequence[str]) -> list[int]:
    """Which columns the reader takes for these names.

    It goes by the schema; what a part says of its own name is not looked at.
    """
    names = tuple(f"{name}." for name in columns)
    return [i for i in range(len(schema)) if f"{schema.column(i).path}.".startswith(names)]


def _page(data: mmap.mmap, at: int) -> tuple[int, int, int]:
    """A page's unfolded size, its size in the file, and where it begins after its header."""
    sizes = {2: -1, 3: -1}
    field = 0
    try:
        while True:
            field, kind, at = _field(data, at, field)
            if kind == _STOP:
                return sizes[2], sizes[3], at
            if kind == _I32 and field in sizes:
                sizes[field], at = _number(data, at)
            else:
                at = _skip(data, at, kind, 0)
    except IndexError:
        raise PagesError("a page's header is cut off") from None


def _field(data: mmap.mmap, at: int, before: int) -> tuple[int, int, int]:
    """The next field's number and kind, and where its value begins."""
    byte = data[at]
    step, kind = byte >> 4, byte & 15
    if kind == _STOP:  # whatever the step: Thrift's own readers look no further
        return before, kind, at + 1
    field, at = (before + step, at + 1) if step else _number(data, at + 1)
    if not 0 < field < 2**15:
        raise PagesError("a page's header has a field without a number")
    return field, kind, at


def _skip(data: mmap.mmap, at: int, kind: int, depth: int) -> int:
    """Where the value at ``at`` ends."""
    if depth > _DEEPEST:
        raise PagesError("a page's header has no end")
    if kind in (_TRUE, _FALSE):
        return at
    if kind in (_BYTE, _DOUBLE):
        return at + (1 if kind == _BYTE else 8)
    if kind in (_I16, _I32, _I64):
        return _varint(data, at)[1]
    if kind == _BINARY:
        length, at = _varint(data, at)
        return at + length
    if kind == _STRUCT:
        field = 0
        while True:
            field, inner, at = _field(data, at, field)
            if inner == _STOP:
                return at
            at = _skip(data, at, inner, depth + 1)
    raise PagesError("a page's header has a list or a kind of value that no page has")


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
