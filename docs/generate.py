"""Write docs/settings.md and docs/adding.md from the code: ``python docs/generate.py``."""

from pathlib import Path

from robench.presets import paper, paper_names
from robench.report.preset import explained, headline
from robench.templates import KINDS, command, text

SETTINGS = """# The settings of the papers' presets

`python docs/generate.py` writes this page from `robench/presets/papers/`. Each value runs as it
is shown; its source is the file and line of the authors' code. In the tables of differences, a
blank means that nothing is said.
"""


ADDING = """# A component of your own

`python docs/generate.py` writes this page from `robench/templates/`, which `robench new` copies.

A method, attack, probe, encoder, data set or metric is one file. Its name is the component's name,
and its one public class (a metric: function) is the component; arguments, with their types and
defaults, are read from the signature. `robench new KIND NAME` writes the file of a kind below, and
`--plugin` names it to any command. `--plugin` runs the file's code: give it files that you trust.
[contracts.py](../robench/contracts.py) has every contract in full.

A package that is installed offers its components without `--plugin`, in its `pyproject.toml`:

```toml
[project.entry-points."robench.plugins"]
my-method = "my_package.my_method"
```
"""


def adding() -> str:
    """The page of the templates, in Markdown."""
    parts = [ADDING]
    for kind in KINDS:
        name = f"my_{kind}"
        commands = f"robench new {kind} {name}\n{command(kind, name, f'{name}.py')}"
        parts.append(f"## {kind.replace('dataset', 'data set').capitalize()}\n")
        parts.append(f"```bash\n{commands}\n```\n\n`{name}.py`:\n")
        parts.append(f"```python\n{text(kind, name)}```\n")
    return "\n".join(parts)


def settings() -> str:
    """The page of the papers' presets, in Markdown."""
    lines = [SETTINGS]
    for name in paper_names():
        preset = paper(name)
        lines += [f"## {name}", preset.summary, "", "| | setting | value | source |"]
        lines.append("| --- | --- | --- | --- |")
        for one in preset.settings:
            value = f"{explained(one)} | `{one.source}`"
            lines.append(f"| {headline(one.part)} | {one.name} | {value} |")
        lines += ["", "| point | paper | authors' code | here |", "| --- | --- | --- | --- |"]
        for point in preset.differences:
            lines.append(f"| {point.point} | {point.paper} | {point.code} | {point.here} |")
        lines.append("")
    return "\n".join(lines)


PAGES = {"settings.md": settings, "adding.md": adding}

if __name__ == "__main__":
    for name, page in PAGES.items():
        Path(__file__).with_name(name).write_text(page(), encoding="utf-8")
