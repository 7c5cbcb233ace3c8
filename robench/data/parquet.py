"""Parquet files as the Hugging Face copies have them: a column of images, a column of labels."""

import re
from pathlib import Path
from typing import Any

from robench.contracts import DataError, Progress, Split
from robench.data.checks import MOST_BYTES, check_labels, unreadable
from robench.data.decode import decode, stack


def shards(folder: Path, part: str) -> list[Path]:
    """List the files ``part-*.parquet`` in ``folder``, in order.

    Raises DataError where their names (``train-00000-of-00002.parquet``) say that some are missing.
    """
    found = sorted(path for path in folder.glob(f"{part}-*.parquet") if path.is_file())
    numbered = [re.search(r"-of-(\d+)\.parquet$", path.name) for path in found]
    totals = {int(number[1]) for number in numbered if number}
    if totals and (len(totals) > 1 or len(found) != max(totals)):
        raise DataError(
            f"{folder} has {len(found)} of the {part}-*.parquet files, but their names say "
            f"{' and '.join(map(str, sorted(totals)))}; get them all into a folder of their own"
        )
    return found


def read(path: Path, column: str, classes: int, progress: Progress, label: str) -> Split:
    """Read the images in the column ``img`` and the labels in ``column``, 0 to ``classes`` - 1.

    Raises DataError for a damaged file, a missing column, a label out of range, and an image that
    cannot be decoded or is not 32×32, with its row.
    """
    from pyarrow.parquet import ParquetFile  # large, and few runs read one

    try:
        with ParquetFile(path) as file:
            _check_schema(file.schema_arrow, column, path)
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            size = sum(group.total_byte_size for group in groups)
            if size > MOST_BYTES:
                raise DataError(
                    f"{path} has {size / 2**30:.1f} GiB of images, more than the "
                    f"{MOST_BYTES / 2**30:.0f} GiB that are read"
                )
            table = file.read(columns=["img.bytes", column])
            encoded = [row["bytes"] if row else None for row in table.column("img").to_pylist()]
    except DataError:
        raise
    except Exception as error:  # pyarrow's own errors, and column names that are not text
        raise DataError(
            f"{unreadable(path, error)}; it is truncated or not a Parquet file, so get it again"
        ) from None
    if table.column(column).null_count:
        raise DataError(f"{path}, column {column}: a label is missing")
    labels = check_labels(table.column(column).to_numpy(), classes, f"{path}, column {column}")

    def load(row: int) -> Any:
        return decode(encoded[row] or b"", f"{path}, row {row}", exactly=(32, 32))

    return Split(stack(load, len(encoded), 32, progress, label), labels)


def _check_schema(schema: Any, column: str, path: Path) -> None:
    from pyarrow import null, types

    found = dict(zip(schema.names, schema.types, strict=True))
    image, labels = (found.get(name, null()) for name in ("img", column))
    nested = types.is_struct(image) and image.get_field_index("bytes") >= 0
    inner = image.field("bytes").type if nested else null()
    if not (types.is_binary(inner) or types.is_large_binary(inner)) or not types.is_integer(labels):
        shown = [f"{name[:40]} ({str(kind)[:60]})" for name, kind in found.items()][:4]
        expected = f"img (a struct with binary 'bytes') and {column} (whole numbers)"
        raise DataError(f"{path} has the columns {', '.join(shown)}; expected {expected}")
