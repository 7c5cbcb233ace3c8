"""The tools hold the wall: style, types and the floors of the imports."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TOOLS = {
    "ruff check": ("ruff", ["-m", "ruff", "check", "--no-cache", "robench", "tests"]),
    "ruff format": ("ruff", ["-m", "ruff", "format", "--no-cache", "--check", "robench", "tests"]),
    "mypy": ("mypy", ["-m", "mypy"]),
    "import-linter": (
        "importlinter",
        ["-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"],
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tool_has_nothing_to_say(tool: str) -> None:
    module, words = TOOLS[tool]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed; pip install -e '.[test]'")
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("the tools' settings are not here: this is no checkout")
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
