"""Parquet files as the Hugging Face copies have them: a column of images, a column of labels."""

import re
from pathlib import Path

from PIL import Image

from robench.contracts import DataError, Progress, Split
from robench.data.checks import check_labels, unreadable
from robench.data.decode import decode, stack


def shards(folder: Path, part: str) -> list[Path]:
    """List the files ``part-*.parquet`` in ``folder``, in order.

    Raises DataError where their names (``train-00000-of-00002.parquet``) say that some are missing.
    """
    found = sorted(folder.glob(f"{part}-*.parquet"))
    numbered = [re.search(r"-of-(\d+)\.parquet$", path.name) for path in found]
    totals = sorted({int(number[1]) for number in numbered if number})
    if totals not in ([], [len(found)]):
        raise DataError(
            f"{folder} has {len(found)} of the {part}-*.parquet files, but their names say "
            f"{' and '.join(map(str, totals))}; get them all into a folder of their own"
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
            columns = file.schema_arrow.names
            if not {"img", column} <= set(columns):
                found = ", ".join(columns)[:200]
                raise DataError(f"{path} has the columns {found}; expected img and {column}")
            table = file.read(columns=["img.bytes", column])
        encoded = [row["bytes"] if row else None for row in table["img"].to_pylist()]
        numbers = table[column].to_numpy()
    except DataError:
        raise
    except Exception as error:  # pyarrow raises nearly anything on damaged bytes
        raise DataError(
            f"{unreadable(path, error)}; it is truncated or not a Parquet file, so get it again"
        ) from None
    labels = check_labels(numbers, classes, f"{path}, column {column}")

    def load(row: int) -> Image.Image:
        return decode(encoded[row] or b"", f"{path}, row {row}", exactly=(32, 32))

    return Split(stack(load, len(encoded), 32, progress, label), labels)
