"""What `robench data verify` reports."""

from pathlib import Path

import pytest
from cifar_files import TEST, TRAIN, contents, described, quiet, write_batches, write_split

from robench.contracts import DataError
from robench.data import verify as verifying
from robench.data.verify import verify

FILES = contents()


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(verifying, "named", lambda name: described(FILES))
    return write_batches(tmp_path, FILES)


def write_parquet_of_all_classes(root: Path) -> None:
    write_split(root / "cifar10/train-00000-of-00001.parquet", TRAIN)
    write_split(root / "cifar10/test-00000-of-00001.parquet", TRAIN)


def test_whole_batches_are_ok_as_published(batches: Path) -> None:
    files = verify("cifar10", batches.parent, quiet)[:3]
    assert [finding.what for finding in files] == [str(batches / name) for name in FILES]
    assert all(finding.ok and finding.detail.endswith(", as published") for finding in files)


def test_a_damaged_batch_is_bad_and_nothing_is_read(batches: Path) -> None:
    (batches / "data_batch_2").write_bytes(b"damaged")
    findings = verify("cifar10", batches.parent, quiet)
    assert [finding.ok for finding in findings] == [True, False, True]
    assert str(findings[1]).startswith(f"BAD {batches / 'data_batch_2'}: MD5 ")
    assert ", not " in findings[1].detail


def test_parquet_reports_rows_and_classes(tmp_path: Path) -> None:
    write_parquet_of_all_classes(tmp_path)
    findings = verify("cifar10", tmp_path, quiet)
    assert [finding.ok for finding in findings] == [True] * 4
    assert str(findings[2]) == (
        "ok  cifar10 train: 20 images (the full set has 50,000), 2 in each of 10 classes"
    )


def test_an_absent_class_is_bad(tmp_path: Path) -> None:
    write_parquet_of_all_classes(tmp_path)
    write_split(tmp_path / "cifar10/test-00000-of-00001.parquet", TEST)
    last = verify("cifar10", tmp_path, quiet)[-1]
    assert not last.ok
    assert last.detail.endswith(", none of deer, dog, frog, horse, ship ...")


def test_damage_is_a_finding_with_the_error_in_it(tmp_path: Path) -> None:
    write_parquet_of_all_classes(tmp_path)
    (tmp_path / "cifar10/test-00000-of-00001.parquet").write_bytes(b"damaged")
    (finding,) = verify("cifar10", tmp_path, quiet)
    assert not finding.ok
    assert "it is truncated or no Parquet file" in finding.detail


def test_nothing_there_is_a_finding(tmp_path: Path) -> None:
    (finding,) = verify("cifar100", tmp_path, quiet)
    assert not finding.ok
    assert "cifar100 is not in" in finding.detail


def test_another_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one of cifar10, cifar100"):
        verify("imagenet", tmp_path, quiet)
