"""Parquet files as the Hugging Face copies have them: a column of images, a column of labels."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robench.contracts import DataError, Progress, Split
from robench.data import pages
from robench.data.checks import (
    MOST_ENCODED_BYTES,
    MOST_ROWS,
    Labels,
    check_labels,
    unreadable,
)
from robench.data.cifar import Cifar
from robench.data.decode import decode, stack

_MOST_ENCODED_IMAGE = 2**20  # bytes; 32×32 pixels in any format need a few thousand
_ROWS_AT_ONCE = 256
_MOST_AT_ONCE = 2**28  # bytes; a page may hold a value once for any number of rows


def shards(folder: Path, part: str) -> list[Path]:
    """The files ``part-*.parquet`` in ``folder``, in order.

    Raises DataError where their names (``train-00000-of-00002.parquet``) tell that some are
    missing.
    """
    found = sorted(path for path in folder.glob(f"{part}-*.parquet") if path.is_file())
    numbered = [re.search(r"-(\d+)-of-(\d+)\.parquet$", path.name) for path in found]
    totals = {int(number[2]) for number in numbered if number}
    if totals and (len(totals) > 1 or len(found) != max(totals)):
        raise DataError(
            f"{folder} has {len(found)} of the {part}-*.parquet files, but their names say "
            f"{' and '.join(map(str, sorted(totals)))}; get them all into a folder of their own"
        )
    return found


def read(cifar: Cifar, files: Sequence[Path], progress: Progress, part: str) -> Split:
    """The images and labels in ``files``, one after another.

    Raises DataError for a file that is no whole Parquet file, for a missing column, for a label out
    of range, for an image that cannot be decoded (with its row) or is not 32×32, and for a file
    that would grow out of all measure.
    """
    splits = [_read(cifar, path, progress, part) for path in files]
    if len(splits) == 1:
        return splits[0]
    images = np.concatenate([split.images for split in splits])
    return Split(images, np.concatenate([split.labels for split in splits]))


def _read(cifar: Cifar, path: Path, progress: Progress, part: str) -> Split:
    encoded, labels = _columns(cifar, path)
    checked = check_labels(labels, len(cifar.classes), f"{path}, column {cifar.column}")

    def load(row: int) -> Any:
        return decode(encoded[row], f"{path}, row {row}", exactly=(32, 32))

    label = f"Decoding {cifar.name} {part}"
    return Split(stack(load, len(encoded), 32, progress, label), checked)


def _columns(cifar: Cifar, path: Path) -> tuple[list[bytes], Labels]:
    from pyarrow.parquet import ParquetFile  # large, and few runs read one

    encoded: list[bytes] = []
    labels: list[Any] = []
    left = MOST_ENCODED_BYTES
    try:
        with ParquetFile(path) as file:
            _check_schema(file.schema_arrow, cifar, path)
            _check_size(file.metadata, path)
            columns = ["img.bytes", cifar.column]
            for batch in file.iter_batches(_rows(file, path, columns), columns=columns):
                images = batch.column("img").field("bytes")
                if images.null_count or batch.column(cifar.column).null_count:
                    row = len(encoded) + _first_null(images, batch.column(cifar.column))
                    raise DataError(f"{path}, row {row}: the image's bytes or its label is missing")
                _check_lengths(images, len(encoded), path)
                left -= images.nbytes
                if left < 0:
                    raise DataError(f"{path} has far more bytes of images than it says")
                encoded += images.to_pylist()
                labels.append(batch.column(cifar.column).to_numpy())
    except DataError:
        raise
    except Exception as error:  # pyarrow's own errors, and names that are no text
        raise DataError(
            f"{unreadable(path, error)}; it is truncated or no Parquet file, so get it again"
        ) from None
    if not encoded:
        raise DataError(f"{path}: no rows in it, and its summary tells of some")
    return encoded, np.concatenate(labels)


def _check_schema(schema: Any, cifar: Cifar, path: Path) -> None:
    expected = {"img": "a struct with 'bytes'", cifar.column: "whole numbers"}
    missing = [name for name in expected if name not in schema.names]
    if missing:
        raise DataError(
            f"{path} has the columns {', '.join(n[:40] for n in schema.names[:6]) or '(none)'}; "
            f"expected {' and '.join(expected)} for {cifar.name}"
        )
    from pyarrow import types

    image, label = schema.field("img").type, schema.field(cifar.column).type
    binary = types.is_struct(image) and image.get_field_index("bytes") >= 0
    if binary:
        inner = image.field("bytes").type
        binary = types.is_binary(inner) or types.is_large_binary(inner)
    if not binary or not types.is_integer(label):
        wrong, found = ("img", image) if not binary else (cifar.column, label)
        raise DataError(f"{path}: column {wrong} is {str(found)[:100]}, expected {expected[wrong]}")


def _check_size(metadata: Any, path: Path) -> None:
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if metadata.num_rows < 1:
        raise DataError(f"{path}: no rows in it, expected at least one")
    if metadata.num_rows > MOST_ROWS or size > MOST_ENCODED_BYTES:
        raise DataError(
            f"{path} says it has {metadata.num_rows:,} rows in {size / 2**30:.1f} GiB, more than "
            f"the {MOST_ROWS:,} rows or {MOST_ENCODED_BYTES / 2**30:.0f} GiB that are read"
        )


def _rows(file: Any, path: Path, columns: list[str]) -> int:
    """How many rows can be read at once, were each of them as long as the largest page."""
    pages.check_summary(path, columns)
    page = pages.largest(path, file.metadata, columns)
    if page > _MOST_AT_ONCE:
        raise DataError(f"{path} has a page of {page:,} bytes, far more than {_MOST_AT_ONCE:,}")
    return max(1, min(_ROWS_AT_ONCE, _MOST_AT_ONCE // max(page, 1)))


def _check_lengths(images: Any, before: int, path: Path) -> None:
    from pyarrow.compute import binary_length

    for row, length in enumerate(binary_length(images).to_pylist()):
        if length > _MOST_ENCODED_IMAGE:
            raise DataError(
                f"{path}, row {before + row}: the image has {length:,} bytes, "
                "far more than 32×32 pixels need"
            )


def _first_null(*columns: Any) -> int:
    nulls: list[list[bool]] = [column.is_null().to_pylist() for column in columns]
    return min(column.index(True) for column in nulls if True in column)
