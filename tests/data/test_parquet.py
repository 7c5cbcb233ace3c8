"""Parquet files that are damaged, or that hold something else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cifar_files import TEST, encoded, write_parquet, write_split

from robench.contracts import DataError
from robench.data import parquet
from robench.engine.progress import silent

PNGS = [encoded(image) for image in TEST.images]
LABELS = TEST.labels.tolist()


def refused(path: Path, column: str = "label") -> str:
    with pytest.raises(DataError) as caught:
        parquet.read(path, column, 10, silent, "Decoding")
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_cifar10_is_not_taken_for_cifar100(tmp_path: Path) -> None:
    message = refused(write_split(tmp_path / "a.parquet", TEST), "fine_label")
    assert "has the columns img, coarse_label, label; expected img and fine_label" in message


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [b"a"], "label": [0]}, "has the columns image, label; expected img and label"),
        ({"img": ["a"], "label": [0]}, "cannot be read ("),
        ({"img": [{"path": "a"}], "label": [0]}, "cannot be read ("),
        ({"img": [{"bytes": b"a"}], "label": [0.5]}, "label: labels are float64, expected whole"),
        ({"img": [{"bytes": b"a"}], "label": ["cat"]}, "label: labels are object, expected whole"),
    ],
)
def test_other_columns(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert message in refused(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (10, "column label: label 10 in row 3 is out of range, expected 0 to 9"),
        (-1, "column label: label -1 in row 3 is out of range"),
        (None, "column label: labels are float64, expected whole numbers"),
    ],
)
def test_a_label_out_of_range(tmp_path: Path, label: int | None, message: str) -> None:
    labels = [*LABELS[:3], label, *LABELS[4:]]
    assert message in refused(write_parquet(tmp_path / "a.parquet", PNGS, labels))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        *((bad, "not an image that can be decoded") for bad in (None, b"x", PNGS[0][:-400])),
        (encoded(np.zeros((3, 16, 32), np.uint8)), "the image is 32×16 pixels, expected 32×32"),
    ],
)
def test_a_bad_image_is_named_with_its_row(tmp_path: Path, bad: bytes | None, message: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", [*PNGS[:5], bad, *PNGS[6:]], LABELS)
    assert f"row 5: {message}" in refused(path)


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-100], lambda b: b"", lambda b: b"x" * 99, lambda b: b[:100] + bytes(3900)],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_split(tmp_path / "a.parquet", TEST)
    path.write_bytes(damage(path.read_bytes()))
    assert "it is truncated or not a Parquet file" in refused(path)


def test_images_and_labels_are_read_behind_a_progress_bar(tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []

    def progress(items, label):  # type: ignore[no-untyped-def]
        seen.append((len(items), label))
        return items

    path = write_split(tmp_path / "a.parquet", TEST)
    split = parquet.read(path, "label", 10, progress, "Decoding test")
    assert np.array_equal(split.images, TEST.images)
    assert np.array_equal(split.labels, TEST.labels)
    assert seen == [(1, "Decoding test")]
