"""CIFAR gives the same images from every layout, and says what is wrong with a broken one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cifar_files import (
    TEST,
    TRAIN,
    archived,
    contents,
    described,
    one_line,
    quiet,
    write_batches,
    write_split,
)

from robench.contracts import Data, DataError
from robench.data.cifar import CIFAR10, CIFAR100, Cifar
from robench.data.layouts import Archive, Batches, Parquet, load, locate
from robench.data.splits import in_three

FILES = contents()


def batches(root: Path) -> Cifar:
    write_batches(root, FILES)
    return described(FILES)


def archive(root: Path) -> Cifar:
    content = archived(FILES)
    (root / CIFAR10.archive[0]).write_bytes(content)
    return described(FILES, content)


def parquet(root: Path, inside: str = "cifar10", form: str = "PNG") -> Cifar:
    write_split(root / inside / "train-00000-of-00001.parquet", TRAIN, form)
    write_split(root / inside / "test-00000-of-00001.parquet", TEST, form)
    return CIFAR10


def webp(root: Path) -> Cifar:
    return parquet(root, form="WEBP")


def same(one: Data, other: Data) -> bool:
    parts = [(one.train, other.train), (one.held_out, other.held_out), (one.test, other.test)]
    return all(
        np.array_equal(a.images, b.images) and np.array_equal(a.labels, b.labels) for a, b in parts
    )


@pytest.mark.parametrize("lay", [batches, archive, parquet, webp])
def test_every_layout_gives_the_same_data_twice(
    tmp_path: Path, lay: Callable[[Path], Cifar]
) -> None:
    cifar = lay(tmp_path)
    expected = in_three(TRAIN, TEST, CIFAR10.classes)
    first, again = load(cifar, tmp_path, quiet), load(cifar, tmp_path, quiet)
    assert same(first, expected)
    assert same(again, expected)
    assert first.classes == CIFAR10.classes
    assert first.train.images.dtype == np.uint8
    assert first.train.labels.dtype == np.int64


@pytest.mark.parametrize(
    "inside", ["cifar10", "cifar10/plain_text", "cifar10/data", "plain_text", "data", "."]
)
def test_parquet_is_found_in_the_folders_where_copies_have_it(tmp_path: Path, inside: str) -> None:
    parquet(tmp_path, inside)
    assert isinstance(locate(CIFAR10, tmp_path), Parquet)


def test_parquet_in_several_shards_is_one_set(tmp_path: Path) -> None:
    halves = [slice(12), slice(12, None)]
    for i, half in enumerate(halves):
        part = type(TRAIN)(TRAIN.images[half], TRAIN.labels[half])
        write_split(tmp_path / f"cifar10/train-0000{i}-of-00002.parquet", part)
    write_split(tmp_path / "cifar10/test-00000-of-00001.parquet", TEST)
    expected = in_three(TRAIN, TEST, CIFAR10.classes)
    assert same(load(CIFAR10, tmp_path, quiet), expected)


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part, split in (("train", TRAIN), ("test", TEST)):
        path = write_split(tmp_path / f"cifar100/{part}-00000-of-00001.parquet", split)
        table = pq.read_table(path, partitioning=None)
        fine = pa.array((split.labels + 90).tolist())
        table = table.rename_columns(["img", "coarse_label"]).append_column("fine_label", fine)
        pq.write_table(table, path)
    data = load(CIFAR100, tmp_path, quiet)
    assert sorted(data.test.labels.tolist()) == [90, 90, 91, 91, 92, 92, 93, 93]
    assert len(data.classes) == 100


def test_batches_go_before_the_archive_and_that_before_parquet(tmp_path: Path) -> None:
    parquet(tmp_path)
    assert isinstance(locate(CIFAR10, tmp_path), Parquet)
    archive(tmp_path)
    assert isinstance(locate(CIFAR10, tmp_path), Archive)
    cifar = batches(tmp_path)
    assert isinstance(locate(cifar, tmp_path), Batches)


def test_nothing_there_names_what_where_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(CIFAR10, tmp_path, quiet)
    message = one_line(caught.value)
    for part in (
        f"cifar10 is not in {tmp_path}",
        "cifar-10-batches-py/",
        "cifar-10-python.tar.gz",
        "cifar10/train-*.parquet",
        f"`robench data fetch cifar10 --data {tmp_path}`",
        "ROBENCH_DATA",
        "shapes10",
    ):
        assert part in message


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    cifar = batches(tmp_path)
    (tmp_path / cifar.folder / "data_batch_2").unlink()
    with pytest.raises(DataError, match="has no data_batch_2; run `robench data fetch") as caught:
        load(cifar, tmp_path, quiet)
    one_line(caught.value)


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b[:50] + b"x" + b[51:]])
def test_a_damaged_batch_is_named_with_both_checksums(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    cifar = batches(tmp_path)
    path = tmp_path / cifar.folder / "test_batch"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        load(cifar, tmp_path, quiet)
    message = one_line(caught.value)
    assert f"{path} has MD5 " in message
    assert f"expected {cifar.test[0][1]}" in message
    assert f"robench data fetch cifar10 --data {tmp_path}`" in message


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    cifar = archive(tmp_path)
    path = tmp_path / cifar.archive[0]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(
        DataError, match=f"{path.name} has MD5 .* expected {cifar.archive[1]}"
    ) as caught:
        load(cifar, tmp_path, quiet)
    assert f"--data {tmp_path}`" in one_line(caught.value)


def test_an_archive_writes_nothing_and_only_expected_members_count(tmp_path: Path) -> None:
    root = tmp_path / "inside" / "root"
    root.mkdir(parents=True)
    content = archived({**FILES, "../../../escaped": b"x", "extra": b"y"})
    (root / CIFAR10.archive[0]).write_bytes(content)
    data = load(described(FILES, content), root, quiet)
    assert len(data.train) + len(data.held_out) == len(TRAIN)
    assert not list(tmp_path.rglob("escaped"))
    assert not list(tmp_path.rglob("extra"))


def test_an_archive_without_a_batch_is_refused(tmp_path: Path) -> None:
    content = archived({name: FILES[name] for name in ("data_batch_1", "test_batch")})
    (tmp_path / CIFAR10.archive[0]).write_bytes(content)
    with pytest.raises(DataError, match="has no file cifar-10-batches-py/data_batch_2"):
        load(described(FILES, content), tmp_path, quiet)


def test_a_missing_shard_is_told_from_the_names(tmp_path: Path) -> None:
    parquet(tmp_path)
    write_split(tmp_path / "cifar10/train-00001-of-00003.parquet", TRAIN)
    with pytest.raises(DataError, match=r"has 2 of the train-\*.parquet files, but .* 1 and 3"):
        load(CIFAR10, tmp_path, quiet)


def test_train_without_test_is_refused(tmp_path: Path) -> None:
    parquet(tmp_path)
    (tmp_path / "cifar10/test-00000-of-00001.parquet").unlink()
    with pytest.raises(DataError, match=r"has train-\*.parquet but no test-\*.parquet"):
        load(CIFAR10, tmp_path, quiet)


def test_the_class_names_are_those_of_the_published_sets() -> None:
    assert len(CIFAR10.classes) == 10
    assert len(set(CIFAR100.classes)) == 100
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)
