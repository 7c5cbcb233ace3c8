"""The wheel holds whatever the package reads, and says that it is typed."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


def test_a_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", "77", reason="setuptools builds the wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "robench", tmp_path / "robench", ignore=ignored)
    package = [path for path in (tmp_path / "robench").rglob("*") if path.is_file()]
    subprocess.run(
        [sys.executable, "-c", BUILD, "."], cwd=tmp_path, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = set(ZipFile(wheel).namelist())
    assert {str(path.relative_to(tmp_path)) for path in package} <= held
    assert "robench/py.typed" in held
