"""What the tutorials show works as it stands there, in that order; the site's pages are there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import robench, without_figures
from test_readme import small_quick

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r'(?:<!-- (\w+) -->\n)?```(\w+)(?: title="(.*?)")?\n(.*?)```', re.DOTALL)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_quick(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBENCH_DATA", str(tmp_path / "none"))


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_works_as_typed(page: Path) -> None:
    """At a scale of seconds; a command that needs real data says so."""
    names: dict[str, object] = {}
    ran = 0
    for mark, language, title, text in BLOCK.findall(page.read_text()):
        if language == "python" and title:
            Path(title).write_text(text)
        elif language == "python":
            with without_figures():
                exec(compile(text, str(page), "exec"), names)
        elif language == "bash":
            for words in commands(text):
                if words[:2] == ["data", "fetch"]:
                    continue
                with without_figures():
                    done = robench(*words)
                ran += 1
                if mark == "hours":
                    assert done.code == 2
                    assert re.search(r"robench data fetch|checkpoint\.pt", done.err), done
                else:
                    assert (done.code, "Traceback" in done.err) == (0, False), (words, done)
    assert ran


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `robench` command; there are no others."""
    for line in text.splitlines():
        if words := shlex.split(line, comments=True):
            assert words[0] == "robench", line
            yield words[1:]


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= listed
