"""Text from files and names is shown, never obeyed: Markdown, LaTeX, CSV, terminals, figures."""

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commands import PLUGINS, TOY_RUN, finished, robench, toys_in, without_figures
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import planted

from robench.catalog.scale import Scale
from robench.engine.progress import bar
from robench.report import compare as comparing
from robench.report import render
from robench.report.compare import compare
from robench.report.pivot import pivot
from robench.report.table import Table
from robench.report.write import write

EVIL = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](http://a.example/x.png)",
    "`code` *bold* _it_ ~~gone~~ $x$",
    "a | b\n| --- |\n# head",
    "&lt;b&gt; &#60;script&#62;",
    r"\input{/etc/passwd}\write18{id}",
    r"}\end{tabular}\immediate\write18{id}",
    "$$^^5cinput{x}",
    "[5cm] after a line's end",
    "* star",
    "100% # of {all} & ~some~",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "+1",
    "-1",
    "\t=1+1",
    "plain \x1b[2J\x1b]0;owned\x07",
    "\u202edesrever",
    "a\u200bb\u2028c\x85d",
    "\ud800",
)


class Tags(HTMLParser):
    """The tags that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.seen.append(f"/{tag}")


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def tabled(name: str) -> Table:
    odd = planted(0.5, name, "clean", encoder=name, flags=(name,))
    return pivot([odd, planted(0.5, name, "pgd", encoder=name)], scale=name)


@pytest.mark.parametrize("name", EVIL)
def test_markdown_shows_it(name: str) -> None:
    text = render.markdown(tabled(name))
    assert set(Tags(text).seen) == {"sup", "/sup"}
    lines = text.splitlines()
    assert len(lines) == len(render.markdown(tabled("plain")).splitlines())
    assert all(len(re.findall(r"(?<!\\)\|", line)) in (0, 4) for line in lines)
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", EVIL)
def test_html_shows_it(name: str) -> None:
    seen = Tags(render.html(tabled(name))).seen
    assert seen == Tags(render.html(tabled("plain"))).seen
    assert "script" not in seen
    assert "".join(render.html(tabled(name)).split("\n")).isprintable()


@pytest.mark.parametrize("name", EVIL)
def test_latex_shows_it(name: str) -> None:
    text = render.latex(tabled(name))
    plain = render.latex(tabled("plain"))
    commands = set(re.findall(r"\\[A-Za-z]+", text)) - set(re.findall(r"\\[A-Za-z]+", plain))
    written = {r"\textbackslash", r"\textasciitilde", r"\textasciicircum", r"\textbar"}
    assert commands <= written | {r"\textless", r"\textgreater"}
    assert len(text.splitlines()) == len(plain.splitlines())
    bare = re.sub(r"\\[\\{}$&#%_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert "^" not in bare
    assert not re.search(r"(\\\\|\\midrule)\s*[\[*]", text)
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", EVIL[:-1])  # no DataFrame holds half a character
def test_no_field_of_a_csv_file_begins_as_a_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("robench.report.write.save_figures", lambda *_: [])
    results = [planted(0.5, name, flags=(name,)), planted(0.4, "b")]
    write(results, [], tabled(name), tmp_path)
    texts = [(tmp_path / file).read_text() for file in ("results.csv", "table.csv")]
    texts.append(
        render.frame_csv(comparing.frame(compare(results, name, "b", lambda _: Scale(name, ""))))
    )
    for text in texts:
        rows = list(csv.reader(io.StringIO(text)))
        assert len({len(row) for row in rows}) == 1
        fields = [field for row in rows for field in row]
        assert any(letters(name) in letters(field) for field in fields)
        for field in fields:
            assert not field.startswith(("=", "@", "\t", "\r"))
            assert not field.startswith(("+", "-")) or re.fullmatch(r"[+-][0-9.e-]+", field)
            assert field.isprintable()


def test_numbers_below_zero_stay_numbers() -> None:
    made = compare([planted(0.4, "a"), planted(0.5, "b")], "a", "b", lambda _: Scale("", ""))
    (row,) = csv.DictReader(io.StringIO(render.frame_csv(comparing.frame(made))))
    assert float(row["difference"]) == -10


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_one_line_without_tags_commands_and_formulas(text: str) -> None:
    shown = render.markdown_escape(text)
    assert Tags(shown).seen == []
    assert not re.search(r"(?<!\\)(\\\\)*[|`*_\[\]$#~]", shown)
    assert shown.isprintable()
    written = render.latex_escape(text)
    known = r"\\(text(backslash|asciitilde|asciicircum|less|greater|bar)|d?dag)\{\}"
    left = re.sub(
        known + r"|\\[{}$&#%_]|\$\\(pm|rightarrow|approx|varepsilon|infty|times)\$|\{[\[\]*]\}",
        "",
        written,
    )
    assert not re.search(r"[\\{}$&#%_~^\[\]*]", left)
    assert left.isprintable()
    assert render.csv_escape(text)[:1] not in {"=", "+", "-", "@"}


@pytest.mark.parametrize("name", EVIL)
def test_a_terminal_gets_lines_and_no_codes(name: str) -> None:
    boxed = re.sub("\x1b\\[[0-9;]*m", "", render.terminal(tabled(name), 100))
    assert boxed.replace("\n", "").isprintable()
    assert max(map(len, boxed.splitlines())) <= 100


@pytest.mark.parametrize(
    "words",
    [
        ("ls", "a\x1b[2Jb"),
        ("run", "--methods", "'\x1b]0;owned\x07'"),
        ("run", "--eps", "\u202e8/255"),
        ("compare", "plain", "clae", "--out", "no\x1b[2Jwhere"),
    ],
)
def test_a_terminal_gets_no_codes_in_an_error(words: tuple[str, ...]) -> None:
    done = robench(*words)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert done.err.rstrip("\n").isprintable()


def test_a_terminal_gets_no_codes_in_what_is_printed(tmp_path: Path) -> None:
    """A folder and a plug-in with codes in their names and texts."""
    evil = tmp_path / "a\x1b[2J\x07b"
    finished(evil)
    plugin = evil / "mine.py"
    text = (PLUGINS / "nudge.py").read_text()
    text = text.replace('    """', r'    """\x1b]0;owned\x07', 1)
    plugin.write_text(text)
    run = (*TOY_RUN, *toys_in(evil))
    for words in (
        run,
        (*run, "--dry-run"),
        ("ls", "attacks", "--plugin", str(plugin)),
        ("ls", "results", "--out", str(evil / "out")),
        ("report", "--out", str(evil / "out")),
        ("doctor", "--data", str(evil)),
    ):
        with without_figures():
            done = robench(*words)
        assert done.code == 0, done
        assert (done.out + done.err).replace("\n", "").isprintable(), words


def test_a_progress_bar_shows_no_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def tqdm(items: list[int], desc: str, **rest: object) -> list[int]:
        shown.append(desc)
        return items

    monkeypatch.setattr("robench.engine.progress.tqdm", tqdm)
    assert list(bar([1], "a\x1b[2Jb")) == [1]
    assert shown == ["a?[2Jb"]
