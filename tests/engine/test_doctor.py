"""What the doctor sees."""

import importlib.metadata
from pathlib import Path

import pytest
from commands import robench

from robench.engine.doctor import examine
from robench.store import provenance


def test_versions_devices_and_missing_data_with_the_way_out(tmp_path: Path) -> None:
    lines = list(examine(tmp_path))
    text = "\n".join(lines)
    assert f"torch        {importlib.metadata.version('torch')}" in text
    assert "  cpu: " in text
    assert "shapes10, shapes100: embedded" in text
    for name in ("cifar10", "cifar100"):
        (line,) = (line for line in lines if line.startswith(f"  {name}: "))
        assert "missing" in line
        assert f"robench data fetch {name}" in line
    assert list(tmp_path.iterdir()) == []


def test_data_that_are_there_are_named(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / "cifar10").mkdir(exist_ok=True)
        (tmp_path / "cifar10" / f"{part}-00000-of-00001.parquet").write_bytes(b"")
    text = "\n".join(examine(tmp_path))
    assert "  cifar10: cifar10/train-00000-of-00001.parquet" in text


def test_a_missing_package_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package-here",))
    provenance.versions.cache_clear()
    try:
        text = "\n".join(examine(tmp_path))
    finally:
        provenance.versions.cache_clear()
    assert "missing; pip install no-such-package-here" in text


def test_the_command_needs_nothing(tmp_path: Path) -> None:
    done = robench("doctor", "--data", str(tmp_path / "nowhere"))
    assert (done.code, done.err) == (0, "")
    assert f"data in {tmp_path / 'nowhere'}" in done.out
