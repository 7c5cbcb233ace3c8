"""Code is run where a person names its file, and nowhere else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import finished, robench

from robench.catalog import plugins
from robench.catalog.catalog import Catalog

EVIL = """
from pathlib import Path
Path({mark!r}).touch()
from robench.contracts import Outcome
def evil(outcome: Outcome) -> float:
    return 0.0
"""


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "ran"


def spread(folder: Path, mark: Path) -> None:
    """The plug-in under every name that a careless loader might look for."""
    names = ("evil", "plugin", "plugins", "conftest", "robench_plugins", "setup", "__init__")
    for name in names:
        (folder / f"{name}.py").write_text(EVIL.format(mark=str(mark)))
    for inner in ("plugins", "metrics", "robench.catalog.plugins"):
        (folder / inner).mkdir(exist_ok=True)
        for name in ("evil", "__init__"):
            (folder / inner / f"{name}.py").write_text(EVIL.format(mark=str(mark)))
    package = folder / "evil-1.0.dist-info"
    package.mkdir(exist_ok=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[robench.plugins]\nevil = evil\n")


def test_named_it_runs_and_says_so(mark: Path) -> None:
    Path("evil.py").write_text(EVIL.format(mark=str(mark)))
    done = robench("ls", "metrics", "--plugin", "evil.py")
    assert done.code == 0
    assert "evil" in done.out
    assert mark.exists()


@pytest.mark.parametrize("command", ["run", "ls", "report", "compare", "worst-case", "evaluate"])
def test_the_help_says_that_code_is_run(command: str) -> None:
    said = " ".join(robench(command, "--help").out.split())
    assert "--plugin FILE" in said
    assert "Its code is run: use files you trust." in said


def test_nothing_in_a_zoo_or_results_folder_is_run(mark: Path, tmp_path: Path) -> None:
    words = finished(tmp_path)
    folders = [folder for folder in tmp_path.rglob("*") if folder.is_dir()]
    assert {"zoo", "out", "cells", "probes"} <= {folder.name for folder in folders}
    for folder in [tmp_path, *folders]:
        spread(folder, mark)
    places = ("--out", "out", "--zoo", "zoo")
    for command in (
        words,
        ("ls", "results", *places),
        ("ls", "metrics", *places),
        ("report", *places, "--preset", "quick"),
        ("compare", "mirror", "mirror", *places),
        ("doctor",),
    ):
        done = robench(*command)
        assert "evil" not in done.out
    assert not mark.exists()


def test_a_card_that_names_a_file_loads_none(mark: Path, tmp_path: Path) -> None:
    finished(tmp_path)
    spread(tmp_path, mark)
    (card,) = (tmp_path / "zoo").glob("*/card.json")
    content = json.loads(card.read_bytes())
    for name in ("evil", "../evil", "evil.py", "tests.evil", "_features"):
        content["question"]["encoder"] = name
        card.write_text(json.dumps(content))
        assert robench("ls", "results", "--out", "out", "--zoo", "zoo").code == 0
        with pytest.raises(Exception, match=r"no encoder|cannot be read|evil|_features"):
            Catalog().build("encoders", name)
    assert not mark.exists()


def test_what_lies_in_the_current_folder_is_not_installed(
    mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where Python itself looks there, as in a notebook or with ``python -m``."""
    spread(tmp_path, mark)
    for here in ("", str(tmp_path), "."):
        with monkeypatch.context() as patched:
            patched.syspath_prepend(here)
            assert list(plugins.installed()) == []
    done = subprocess.run(
        [sys.executable, "-m", "robench", "ls", "metrics"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "clean-accuracy" in done.stdout
    assert "evil" not in done.stdout
    assert not mark.exists()


def test_an_installed_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test before shows is not that nothing ever is."""
    there = tmp_path / "site"
    there.mkdir()
    spread(there, tmp_path / "ran")
    monkeypatch.syspath_prepend(str(there))
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    assert [name for name, _ in plugins.installed()] == ["evil"]
    assert (tmp_path / "ran").exists()
    monkeypatch.delitem(sys.modules, "evil")
