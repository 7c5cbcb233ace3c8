"""The pages of the site that are made from the code; MkDocs calls `on_files` when it builds.

README, and what it and the pages link to outside ``docs/``, stand at their own paths.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from posixpath import dirname, relpath
from textwrap import dedent, fill

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from rooms import arrows, draw, floors

import robench
from robench.catalog.catalog import Catalog
from robench.engine import listing
from robench.report.render import markdown_escape
from robench.trust.flags import MEANINGS, NOTES

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PAGES = {"README.md": "index.md", "robench/contracts.py": "contracts.md"}
"""Where files of the repository stand on the site, if not at their own paths."""
LINK = re.compile(r"(\]\(|src=\")([^):#\"]+)([):#\"])")
KINDS = ("methods", "attacks", "probes", "encoders", "datasets", "metrics")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and the copied files to those in ``docs/``."""
    made: dict[str, str | bytes] = {
        f"components/{kind}.md": components(kind, Catalog()) for kind in KINDS
    }
    made |= {"flags.md": flags(), "api.md": functions(), "rooms.svg": picture()}
    for source in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")):
        made |= dict(copies(source, set()))
    for path, content in made.items():
        if older := files.get_file_from_path(path):
            files.remove(older)
        files.append(File.generated(config, path, content=content))
    return files


def components(kind: str, catalog: Catalog) -> str:
    """A table of all components of a kind, then each with its docstring, arguments and code."""
    listed = listing.components(kind, catalog)
    lines = [f"# {kind.capitalize()}", "", listing.KINDS[kind].capitalize() + ".", ""]
    lines += table(listed.heads, listed.rows)
    for name in catalog.names(kind):
        component = catalog.component(kind, name)
        lines += ["", f"## {name}", "", f"::: {component.__module__}.{component.__qualname__}"]
        lines += ["    options: {show_root_toc_entry: false, members: false, show_source: true}"]
    return "\n".join(lines)


def functions() -> str:
    """The functions of ``import robench`` with the keywords that they take, and `Results`.

    Decorators give them their keywords, which a reader of the source would not see.
    """
    lines = ["# Python", "", *dedent(robench.__doc__ or "").splitlines(), ""]
    lines += ["Every option of a [command](cli.md) is a keyword of its function, and takes text"]
    lines += ["as it is typed there, or values: `seeds=3`, `eps=8 / 255`, `methods=['plain']`."]
    for name in robench.__all__:
        function = getattr(robench, name)
        if not inspect.isfunction(function):
            continue
        takes = ", ".join(map(_keyword, inspect.signature(function).parameters.values()))
        call = fill(f"robench.{name}({takes})", 90, subsequent_indent="    ")
        text = re.sub(r"^(\w+): ", r"- `\1`: ", inspect.getdoc(function) or "", flags=re.MULTILINE)
        lines += ["", f"## {name}", "", "```python", call, "```", "", text]
    return "\n".join([*lines, "", "::: robench.report.notebook.Results"])


def _keyword(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return parameter.name
    given = str(parameter.default) if isinstance(parameter.default, Path) else parameter.default
    return f"{parameter.name}={'...' if callable(given) else repr(given)}"


def flags() -> str:
    """The glossary of flags, from the one list that tables explain them by."""
    noted = {flag: [note for note, own in NOTES.items() if own == flag] for flag in MEANINGS}
    rows = [(flag, meaning, ", ".join(noted[flag])) for flag, meaning in MEANINGS.items()]
    return "\n".join(
        [
            "# Flags",
            "",
            "A flag is a footnote in every table and a word in `results.csv`. A flagged number",
            "is never bold; `subset` alone is no doubt. [What is checked](trust.md#flags) says",
            "when each is set.",
            "",
            *table(("flag", "the number is marked because", "notes in the cell"), rows),
            "",
            "## Where the lines are drawn",
            "",
            "::: robench.trust.flags",
            "    options:",
            "      heading_level: 3",
            "      show_root_heading: false",
            "      show_root_toc_entry: false",
            "      filters: ['^[A-Z]', '!^MEANINGS$', '!^NOTES$']",
        ]
    )


def picture() -> bytes:
    """The rooms of the package and the imports between them, as SVG."""
    below, drawn = arrows(), BytesIO()
    draw(below, floors(below), drawn)
    return drawn.getvalue()


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table in Markdown, without columns that are empty."""
    kept = [n for n in range(len(heads)) if any(row[n] for row in rows)]
    yield f"| {' | '.join(heads[n] for n in kept)} |"
    yield f"|{' --- |' * len(kept)}"
    for row in rows:
        yield f"| {' | '.join(markdown_escape(row[n]) for n in kept)} |"


def copies(source: Path, seen: set[Path]) -> Iterator[tuple[str, str | bytes]]:
    """The path on the site and the content of a file, and of what it links to outside ``docs/``.

    Links to folders become text.
    """
    seen.add(source)
    path = site_path(source)
    if source.suffix != ".md":
        yield path, source.read_bytes()
        return

    text = source.read_text(encoding="utf-8")
    yield path, linked(re.sub(r"\[([^]]*)\]\([^):#]*/\)", r"\1", text), source)
    for _, target, _ in LINK.findall(text):
        file = (source.parent / target).resolve()
        placed = file in seen or DOCS in file.parents or site_path(file) in PAGES.values()
        if not placed and file.is_file():
            yield from copies(file, seen)


def linked(markdown: str, source: Path) -> str:
    """The text of a file with its links as the site needs them."""

    def link(found: re.Match[str]) -> str:
        before, target, after = found.groups()
        file = (source.parent / target).resolve()
        if not file.is_file():
            return found[0]
        return f"{before}{relpath(site_path(file), dirname(site_path(source)) or '.')}{after}"

    return LINK.sub(link, markdown)


def site_path(file: Path) -> str:
    """The path on the site of a file of the repository."""
    path = file.relative_to(DOCS if DOCS in file.parents else ROOT).as_posix()
    return PAGES.get(path, path)
