"""What the README shows works as it stands there, in that order."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import robench, without_figures

from robench.presets import quick
from robench.templates import text

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


class Block(NamedTuple):
    """A block of commands, and the mark above it."""

    mark: str
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """The words of each `robench` command."""
        lines = [shlex.split(line, comments=True) for line in self.text.splitlines()]
        return [words[1:] for words in lines if words[:1] == ["robench"]]


BLOCKS = [
    Block(*found)
    for found in re.findall(r"(?:<!-- (.*?) -->\n)?```bash\n(.*?)```", README, re.DOTALL)
]


def test_the_method_of_one_s_own_is_what_robench_new_writes() -> None:
    (shown,) = re.findall(r"`my_method.py`:\n\n```python\n(.*?)```", README, re.DOTALL)
    assert shown == text("method", "my_method")


def test_it_begins_with_a_run_and_ends_with_the_tests_and_where_to_go() -> None:
    assert BLOCKS[0].mark == "newcomer: run"
    assert BLOCKS[-1].mark == "newcomer: test"
    links = re.findall(r"\]\(([^)]*)\)", README.rpartition("Where to go next")[2])
    assert len(links) > 5
    assert all((ROOT / link).exists() for link in re.findall(r"\]\(([^)#]*)\)", README))


def small_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the preset ``quick`` take seconds."""
    small = replace(
        quick.preset,
        sources=("shapes10",),
        targets=("shapes10",),
        encoders=("resnet8(width=2)",),
        recipe=replace(quick.preset.recipe, epochs=1, warmup=0, images=128),  # type: ignore[type-var]
        radii={},
        probe_images=128,
        limit=10,  # some are right
    )
    monkeypatch.setattr(quick, "preset", small)


def test_its_commands_answer_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All in one folder, at a scale of seconds; what needs data or a file of yours says so."""
    small_quick(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBENCH_DATA", str(tmp_path / "none"))
    seen = []
    for block in BLOCKS:
        for words in block.commands:
            if words[0] == "data":
                continue
            with without_figures():
                done = robench(*words)
            seen.append(words[0])
            if block.mark == "hours" and "--dry-run" not in words:
                assert done.code == 2
                assert re.search("robench data fetch|checkpoint.pt", done.err), done
            else:
                assert (done.code, "Traceback" in done.err) == (0, False), (words, done)
    assert {"run", "compare", "worst-case", "report", "ls", "evaluate", "reproduce", "new"} <= {
        *seen
    }


def test_completion_is_a_line_of_the_shell() -> None:
    (line,) = re.findall(r'`eval "\$\((.*?)\)"`', README)
    variable, _, value = line.split()[0].partition("=")
    code = "import sys; sys.argv = ['robench']; from robench.cli import main; main()"
    words = [sys.executable, "-c", code]
    done = subprocess.run(
        words, env={**os.environ, variable: value}, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("_robench_completion()"), done


@pytest.mark.slow
def test_its_blocks_run_as_typed_in_a_fresh_clone(tmp_path: Path) -> None:
    """With pip's downloads, without what is marked: minutes."""
    clone = tmp_path / "robench"
    subprocess.run(["git", "clone", "--quiet", "--no-local", ROOT, clone], check=True)
    typed = [block.text for block in BLOCKS if block.mark in ("", "newcomer: run")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROBENCH")}
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        kept.pop(name, None)
    shell = [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", "".join(typed)]
    done = subprocess.run(
        shell, cwd=clone, env=kept, capture_output=True, text=True, check=False, timeout=3000
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "RoCL better" in done.stdout or "no difference found" in done.stdout, done.stdout
