"""Parquet files that are damaged, or that hold something else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cifar_files import TEST, encoded, one_line, write_parquet, write_split

from robench.contracts import DataError
from robench.data import parquet
from robench.engine.progress import silent

PNGS = [encoded(image) for image in TEST.images]
LABELS = TEST.labels.tolist()


def refused(path: Path, column: str = "label") -> str:
    with pytest.raises(DataError) as caught:
        parquet.read(path, column, 10, silent, "Decoding")
    message = one_line(caught.value)
    assert str(path) in message
    return message


def test_other_columns_are_listed_beside_the_expected(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", PNGS, LABELS, image="image", label="target")
    assert "has the columns image (struct<bytes: binary, path: string>), coarse_label" in refused(
        path
    )


def test_cifar10_is_not_taken_for_cifar100(tmp_path: Path) -> None:
    path = write_split(tmp_path / "a.parquet", TEST)
    assert "and fine_label (whole numbers)" in refused(path, "fine_label")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"img": ["a"], "label": [0]}, "has the columns img (string), label (int64); expected"),
        ({"img": [{"path": "a"}], "label": [0]}, "img (struct<path: string>), label (int64)"),
        ({"img": [{"bytes": "a"}], "label": [0]}, "img (struct<bytes: string>), label (int64)"),
        ({"img": [{"bytes": b"a"}], "label": [0.5]}, "(struct<bytes: binary>), label (double)"),
        ({"img": [{"bytes": b"a"}], "label": ["cat"]}, "label (string); expected img (a struct"),
        ({"x" * 500 + str(i): [1] for i in range(50)}, "; expected img (a struct with binary"),
    ],
)
def test_columns_of_another_type(
    tmp_path: Path, columns: dict[str, list[object]], message: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert message in refused(tmp_path / "a.parquet")


@pytest.mark.parametrize(("label", "row"), [(10, 3), (-1, 0), (2**40, 7)])
def test_a_label_out_of_range_is_named_with_its_row(tmp_path: Path, label: int, row: int) -> None:
    labels = [*LABELS[:row], label, *LABELS[row + 1 :]]
    message = refused(write_parquet(tmp_path / "a.parquet", PNGS, labels))
    assert f"column label: label {label} in row {row} is out of range, expected 0 to 9" in message


@pytest.mark.parametrize("bad", [None, b"", b"no image", PNGS[0][:60], PNGS[0][:-400]])
def test_bytes_that_are_no_image_are_named_with_their_row(
    tmp_path: Path, bad: bytes | None
) -> None:
    path = write_parquet(tmp_path / "a.parquet", [*PNGS[:5], bad, *PNGS[6:]], LABELS)
    assert "row 5: not an image that can be decoded" in refused(path)


def test_a_missing_label_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", PNGS, [*LABELS[:7], None])
    assert "column label: a label is missing" in refused(path)


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    other = encoded(np.zeros((3, 16, 32), np.uint8))
    path = write_parquet(tmp_path / "a.parquet", [*PNGS[:2], other, *PNGS[3:]], LABELS)
    assert "row 2: the image is 32×16 pixels, expected 32×32" in refused(path)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-100], lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 99]
)
def test_a_truncated_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_split(tmp_path / "a.parquet", TEST)
    path.write_bytes(damage(path.read_bytes()))
    assert "it is truncated or not a Parquet file" in refused(path)


def test_damage_inside_is_noticed(tmp_path: Path) -> None:
    path = write_split(tmp_path / "a.parquet", TEST)
    content = bytearray(path.read_bytes())
    content[100:4000] = bytes(3900)
    path.write_bytes(content)
    refused(path)


def test_more_bytes_than_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MOST_BYTES", 7000)
    assert "of images, more than the" in refused(write_split(tmp_path / "a.parquet", TEST))


def test_progress_counts_all_images(tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []

    def progress(items, label):  # type: ignore[no-untyped-def]
        seen.append((len(items), label))
        return items

    path = write_split(tmp_path / "a.parquet", TEST)
    split = parquet.read(path, "label", 10, progress, "Decoding test")
    assert np.array_equal(split.images, TEST.images)
    assert seen == [(1, "Decoding test")]
