"""Untouched code is known by its revision, edited code by what it says and not by how."""

import json
from pathlib import Path

import pytest
import revisions

from robench.catalog import revisions as product
from robench.catalog.catalog import Catalog
from robench.grid.spec import Spec

RENEW = "edited: run `python tests/revisions.py --renew` (docs/architecture.md)"


def test_the_manifest_is_of_todays_code_and_golden_values() -> None:
    assert (revisions.edited(), revisions.moved()) == ([], []), RENEW
    kept = json.loads(product.MANIFEST.read_text())
    assert revisions.current() == kept, RENEW


def test_untouched_code_is_known_by_its_revision() -> None:
    catalog, known = Catalog(), product.manifest()["revisions"]
    for kind, folder in revisions.KINDS.items():
        for name in catalog.names(kind):
            code = catalog.code(kind, Spec(name))
            if not code.own:  # while it is edited it is known by its digest
                assert code.identity == f"revision {known[f'{folder}/{name}']}"


CODE = '''"""A module."""
from own import steps

SIZE = 3
"""Of a step."""


def stepped(x: float) -> float:
    """Steps."""
    return x + steps(SIZE)
'''


def identity(folder: Path, code: str, steps: str = "steps = abs\n") -> str:
    (folder / "mine.py").write_text(code)
    (folder / "own.py").write_text(steps)
    product.renew(folder / "mine.py")
    return product.code_of("attacks/mine", folder / "mine.py").identity


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("Steps.", "Walks.", False),
        ("Of a step.", "In pixels.", False),
        ("SIZE = 3\n", "SIZE = (  # three\n    3\n)\n", False),
        ("x + steps", "x - steps", True),
        ("SIZE = 3", "SIZE = 3.0", True),
    ],
)
def test_only_what_code_says_counts(tmp_path: Path, old: str, new: str, counts: bool) -> None:
    before = identity(tmp_path, CODE)
    assert (identity(tmp_path, CODE.replace(old, new)) != before) == counts
    assert identity(tmp_path, CODE) == before


@pytest.mark.parametrize(
    "line",
    ["import own", "from own import *", "def late():\n    import own", "from . import own"],
)  # fmt: skip
def test_what_is_imported_counts_however_it_is(tmp_path: Path, line: str) -> None:
    before = identity(tmp_path, line)
    assert identity(tmp_path, line, "steps = round\n") != before
    assert identity(tmp_path, line, "steps = abs  # size\n") == before


def test_a_package_is_found_from_inside(tmp_path: Path) -> None:
    for name in ("pack", "pack/attacks", "pack/inner"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    found = []
    for line in ("from pack.inner.steps import size", "from ..inner.steps import size"):
        file, steps = tmp_path / "pack/attacks/mine.py", tmp_path / "pack/inner/steps.py"
        file.write_text(line)
        for size in (1, 2):
            steps.write_text(f"size = {size}")
            product.renew(file)
            found.append(product.code_of("attacks/mine", file).identity)
    assert len(set(found)) == 4


def test_a_revision_is_raised_where_golden_values_were_written_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = json.loads(revisions.renewed([]))
    values = {**revisions.golden_digests(), "attacks/pgd": "other"}
    monkeypatch.setattr(revisions, "golden_digests", lambda: values)
    assert "attacks/pgd" in revisions.moved()
    after = json.loads(revisions.renewed(["attacks/pgd"]))
    raised = before["revisions"]["attacks/pgd"] + 1
    assert after["revisions"] == {**before["revisions"], "attacks/pgd": raised}
