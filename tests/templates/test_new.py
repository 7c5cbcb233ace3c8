"""Each file that `robench new` writes runs as it is, and the docs show these files."""

import importlib.util
from pathlib import Path

import pytest
from commands import robench, without_figures

from robench.catalog.catalog import Catalog
from robench.templates import KINDS, text

DOCS = Path(__file__).parents[2] / "docs"
SMALL = ("--epochs", "1", "--images", "256", "--limit", "8", "--sources", "shapes10")
SMALL = (*SMALL, "--targets", "shapes10", "--encoders", "resnet8(width=2)", "--eps", "8/255")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_that_it_prints_runs(kind: str) -> None:
    begun = robench("new", kind, f"own-{kind}")
    assert begun.code == 0, begun
    assert begun.out.startswith(f"own_{kind}.py: ")
    words = begun.out.splitlines()[-1].split()
    assert words[:4] == ["robench", "run", "--plugin", f"own_{kind}.py"]
    with without_figures():
        done = robench("run", *SMALL, *words[2:])  # later options win
    assert done.code == 0, done
    written = Path("results/quick/results.csv").read_text()
    assert f"own-{kind}" in written


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_component_of_that_name_with_a_line_to_list(kind: str) -> None:
    robench("new", kind, "mine_2")
    content = Path("mine_2.py").read_text()
    assert "My" not in content.replace('"""My ', "")
    catalog = Catalog([Path("mine_2.py")])
    assert "mine-2" in catalog.names(f"{kind}s")
    assert "shows this line" in catalog.summary(f"{kind}s", "mine-2")
    if kind != "metric":
        assert catalog.component(f"{kind}s", "mine-2").__name__ == "Mine2"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("methods", "mine"), "no kind 'methods'; did you mean method?"),
        (("method", "2nd"), "'2nd' is no name for a method; write small letters"),
        (("method", "../mine"), "is no name for a method"),
        (("method", "class"), "'class' is no name for a method"),
        (("attack", "pgd"), "the name pgd is taken by another attack"),
    ],
)
def test_what_cannot_be_written_is_refused(words: tuple[str, str], message: str) -> None:
    done = robench("new", *words)
    assert done.code == 2
    assert message in done.err, done
    assert not list(Path().iterdir())


def test_nothing_is_overwritten() -> None:
    Path("mine.py").write_text("kept")
    done = robench("new", "method", "mine")
    assert (done.code, Path("mine.py").read_text()) == (2, "kept")
    assert "mine.py is there already" in done.err


def test_the_docs_show_these_files() -> None:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, page in generate.PAGES.items():
        assert (DOCS / name).read_text() == page(), f"run python docs/generate.py for {name}"
    shown = (DOCS / "adding.md").read_text()
    for kind in KINDS:
        assert text(kind, f"my_{kind}") in shown
