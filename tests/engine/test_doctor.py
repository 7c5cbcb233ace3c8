"""The doctor shows versions, devices and data."""

import importlib.metadata
from pathlib import Path

import pytest
from commands import robench

from robench.engine.doctor import examine
from robench.store import provenance


def test_versions_devices_and_data_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    for part in ("train", "test"):
        (tmp_path / "cifar10" / f"{part}-00000-of-00001.parquet").touch()
    done = robench("doctor", "--data", str(tmp_path))
    assert (done.code, done.err) == (0, "")
    assert f"torch        {importlib.metadata.version('torch')}" in done.out
    assert "  cpu: " in done.out
    assert f"data in {tmp_path}" in done.out
    assert "shapes10, shapes100: embedded" in done.out
    assert "  cifar10: cifar10/train-00000-of-00001.parquet" in done.out
    assert f"  cifar100: missing; cifar100 is not in {tmp_path}" in done.out
    assert "`robench data fetch cifar100" in done.out


def test_a_missing_package_has_its_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package-here",))
    provenance.versions.cache_clear()
    try:
        assert "missing; pip install no-such-package-here" in "\n".join(examine(tmp_path))
    finally:
        provenance.versions.cache_clear()
