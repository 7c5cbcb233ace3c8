"""Write docs/settings.md from the presets of the papers: ``python docs/generate.py``."""

from pathlib import Path

from robench.presets import paper, paper_names
from robench.report.preset import explained, headline

HEAD = """# The settings of the papers' presets

`python docs/generate.py` writes this page from `robench/presets/papers/`. Each value runs as it
is shown; its source is the file and line of the authors' code. In the tables of differences, a
blank means that nothing is said.
"""


def page() -> str:
    """The page in Markdown."""
    lines = [HEAD]
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


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(page(), encoding="utf-8")
