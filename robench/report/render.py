"""Writers of a table: Markdown, LaTeX, CSV, HTML, and text for a terminal."""

import csv
import io
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from html import escape as as_html
from itertools import chain, groupby
from typing import Literal

import pandas as pd

from robench.report.ranking import Rank
from robench.report.table import TIED, Entry, Number, Row, Table

MISSING = "–"
WIDTH = 100
"""The widest a table is on a terminal, in characters."""

_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "{}$&#%_"}
    # after a line's end, [ would begin an argument, as would the star
    | {character: f"{{{character}}}" for character in "[]*"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--", "†": r"\dag{}"}
    | {"‡": r"\ddag{}", "±": r"$\pm$", "→": r"$\rightarrow$", "≈": r"$\approx$"}
    | {"ε": r"$\varepsilon$", "∞": r"$\infty$", "×": r"$\times$", "−": "--"}
)


# --- any text, safe in a format


def markdown_escape(text: str) -> str:
    """Any text as GitHub Markdown that shows it, on one line and within one field of a table."""
    text = one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", text)


def latex_escape(text: str) -> str:
    """Any text as LaTeX that shows it, on one line."""
    return one_line(text, "?").translate(_LATEX)


def html_escape(text: str) -> str:
    """Any text as HTML that shows it, on one line, in an element or a quoted attribute."""
    return as_html(one_line(text))


def csv_escape(text: str) -> str:
    """Any text as a field that no spreadsheet takes for a formula, on one line.

    A text that begins as formulas do gets an apostrophe before it (OWASP, "CSV Injection").
    """
    text = one_line(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def one_line(text: str, other: str = "\ufffd") -> str:
    """The text with ``other`` for what is not printed: codes for terminals, marks that turn the
    direction of writing.
    """
    return "".join(c if c.isprintable() else other for c in " ".join(text.split()))


# --- formats


def markdown(table: Table) -> str:
    """A GitHub table with its caption above and its notes below."""

    def show(entry: Entry) -> str:
        form = "**{}**".format, "<sup>{}</sup>".format, "<sub>{}</sub>".format
        return _show(entry, table, markdown_escape, *form)

    heads = [markdown_escape(head) for head in (*table.names, *table.headings)]
    rules = [*("---" for _ in table.names), *("---:" for _ in table.columns)]
    rows = [[*map(markdown_escape, row.names), *map(show, row.entries)] for row in table.rows]
    lines = [f"| {' | '.join(fields)} |" for fields in (heads, rules, *rows)]
    notes = [
        (f"<sup>{note.mark}</sup> " if note.mark else "") + markdown_escape(note.text)
        for note in table.footnotes()
    ]
    blocks = [markdown_escape(table.caption), "\n".join(lines), *notes]
    return "\n\n".join(block for block in blocks if block) + "\n"


def latex(table: Table) -> str:
    """A ``table`` float with its notes in it, no wider than its page.

    It needs the packages adjustbox, booktabs and multirow.
    """
    names = len(table.names)

    def show(entry: Entry) -> str:
        raised = r"\rlap{{\textsuperscript{{{}}}}}".format  # so that digits stay aligned
        return _show(entry, table, latex_escape, r"\textbf{{{}}}".format, raised, "".format)

    def line(fields: Iterable[str]) -> str:
        return " & ".join(fields) + r" \\"

    above, rules = [""] * names, ""
    for head, columns in groupby(range(len(table.above)), table.above.__getitem__):
        several = [*columns]
        above.append(rf"\multicolumn{{{len(several)}}}{{c}}{{{latex_escape(head)}}}")
        if head:
            rules += rf"\cmidrule(lr){{{names + several[0] + 1}-{names + several[-1] + 1}}}"
    groups = []
    for group in table.groups:
        firsts = [row.names[0] for row in group]
        spans = len(group) > 1 and names > 1 and len(set(firsts)) == 1
        rows = [[*map(latex_escape, row.names), *map(show, row.entries)] for row in group]
        if spans:
            rows[0][0] = rf"\multirow{{{len(group)}}}{{*}}{{{rows[0][0]}}}"
            for later in rows[1:]:
                later[0] = ""
        groups.append("\n".join(map(line, rows)))
    notes = "; ".join(
        (rf"\textsuperscript{{{latex_escape(note.mark)}}}~" if note.mark else "")
        + latex_escape(note.text)
        for note in table.footnotes(ranks=False)
    )
    lines = [
        r"% \usepackage{adjustbox,booktabs,multirow}; in two columns, table* spans both",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_escape(table.caption)}}}",
        r"\label{tab:robustness}",
        r"\begin{adjustbox}{max width=\linewidth}",
        rf"\begin{{tabular}}{{{'l' * names}{'r' * len(table.columns)}}}",
        r"\toprule",
        *([line(above), rules] if rules else []),
        line(map(latex_escape, (*table.names, *table.columns))),
        r"\midrule",
        "\n\\midrule\n".join(groups),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{adjustbox}",
        *([rf"\par\smallskip{{\footnotesize {notes}\par}}"] if notes else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def html(table: Table) -> str:
    """A ``<table>`` with its caption, and its notes below it; nothing in it is run or fetched."""

    def show(entry: Entry) -> str:
        form = "<b>{}</b>".format, "<sup>{}</sup>".format, " <small>{}</small>".format
        return f"<td>{_show(entry, table, html_escape, *form)}</td>"

    def head(name: str, scope: str) -> str:
        return f'<th scope="{scope}">{html_escape(name)}</th>'

    heads = [head(name, "col") for name in (*table.names, *table.headings)]
    lines = [f"<caption>{html_escape(table.caption)}</caption>", f"<tr>{''.join(heads)}</tr>"]
    for group in table.groups:
        lines.append("<tbody>")
        for row in group:
            fields = [*(head(name, "row") for name in row.names), *map(show, row.entries)]
            lines.append(f"<tr>{''.join(fields)}</tr>")
        lines.append("</tbody>")
    notes = [
        (f"<sup>{note.mark}</sup> " if note.mark else "") + html_escape(note.text)
        for note in table.footnotes()
    ]
    notes = [f"<p><small>{note}</small></p>" for note in notes]
    return "\n".join(["<table>", *lines, "</table>", *notes]) + "\n"


def comma_separated(table: Table) -> str:
    """The same for a spreadsheet: bare numbers, and what marks them in columns of their own.

    A column ``X`` is followed by ``X sd`` where there are several seeds, and by ``X mark``: its
    sign, best, tied or the flags. What is missing is empty.
    """
    spread = any(number.sd is not None for number in table.numbers)

    def fields(entry: Entry) -> list[str]:
        if not isinstance(entry, Number):
            return [entry or "", *[""] * spread, ""]
        standing = [entry.standing.rank.value, str(entry.standing)] if entry.standing else []
        marks = [entry.mark, *standing, *(f"flagged: {flag}" for flag in entry.flags)]
        sd = "" if entry.sd is None else f"{entry.sd:.1f}"
        value = f"{entry.value:z.1f}"
        value = value if entry.least is None else f"{entry.least:z.1f} to {value}"
        return [value, *[sd] * spread, "; ".join(filter(None, marks))]

    heads = [
        head + ending for head in table.headings for ending in ("", *[" sd"] * spread, " mark")
    ]
    rows = [[*row.names, *chain(*map(fields, row.entries))] for row in table.rows]
    text = io.StringIO()
    for line in ([*table.names, *heads], *rows):
        csv.writer(text, lineterminator="\n").writerow(map(csv_escape, line))
    return text.getvalue()


def frame_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV: six significant digits, text that no spreadsheet takes for a formula."""
    escaped = frame.map(lambda field: csv_escape(field) if isinstance(field, str) else field)
    return escaped.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def shown(table: Table) -> str:
    """The table as it goes to standard output: a box, without codes where that is no terminal."""
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    boxed = terminal(table, width)
    return boxed if sys.stdout.isatty() else re.sub("\x1b\\[[0-9;]*m", "", boxed)


def terminal(table: Table, width: int) -> str:
    """A box of at most ``width`` characters across.

    A name that all rows of a group share stands above them. Columns that do not fit beside each
    other follow below, under the same names.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True)
    console.print(Text(one_line(table.caption)), end="\n\n")
    table = _under_headings(table)
    for block in _blocks(table, width):
        grid = Grid(box=box.ROUNDED)
        for name in table.names:
            grid.add_column(Text(one_line(name)), vertical="bottom", overflow="fold")
        for column, needed in block.items():
            words = any(_is_words(_plain(row.entries[column], table)) for row in table.rows)
            justify: Literal["left", "right"] = "left" if words else "right"
            heading = Text(one_line(table.headings[column]), justify=justify)
            grid.add_column(heading, justify=justify, vertical="bottom", width=needed)
        for group in table.groups:
            for row in group:
                names = map(Text, row.names)
                entries = [Text(_plain(row.entries[column], table)) for column in block]
                grid.add_row(*names, *entries, end_section=row is group[-1])
        console.print(grid, end="\n\n")
    for note in table.footnotes("*"):
        console.print(Text((f"({note.mark}) " if note.mark else "") + one_line(note.text)))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _under_headings(table: Table) -> Table:
    """The same, with the first name in a line above its group, where all rows of each share it."""
    groups = [
        [Row(tuple(map(one_line, row.names)), row.entries) for row in own] for own in table.groups
    ]
    names = table.names
    if len(names) > 1 and all(len({row.names[0] for row in own}) == 1 for own in groups):
        blank, names = ("",) * len(table.columns), names[1:]
        groups = [
            [
                Row((own[0].names[0], *[""] * (len(names) - 1)), blank),
                *(Row((f"  {row.names[1]}", *row.names[2:]), row.entries) for row in own),
            ]
            for own in groups
        ]
    return replace(table, names=names, groups=tuple(map(tuple, groups)))


def _blocks(table: Table, width: int) -> list[dict[int, int]]:
    """The columns and the width of each, in as many blocks as keep within ``width``.

    An entry is never broken; a heading is, between words.
    """
    names = zip(table.names, *(row.names for row in table.rows), strict=True)
    left = width - 1 - sum(3 + min(24, max(map(len, column))) for column in names)
    blocks: list[dict[int, int]] = []
    used = left
    for column, head in enumerate(map(one_line, table.headings)):
        entries = [_plain(row.entries[column], table) for row in table.rows]
        needed = max(map(len, [*head.split(), *entries]))
        if used + 3 + needed > left:
            blocks.append({})
            used = 0
        blocks[-1][column] = needed
        used += 3 + needed
    return blocks


def _is_words(entry: str) -> bool:
    return entry[:1].isalpha()


def _plain(entry: Entry, table: Table) -> str:
    return _show(entry, table, one_line, "{}*".format, " {}".format, " {}".format)


def _show(
    entry: Entry,
    table: Table,
    escape: Callable[[str], str],
    best: Callable[[str], str],
    raised: Callable[[str], str],
    lowered: Callable[[str], str],
) -> str:
    """An entry in a format that writes the best number, its marks and its ranks in its own way."""
    if not isinstance(entry, Number):
        return escape(MISSING if entry is None else entry)
    between = "" if entry.least is None else f"between {entry.least:z.1f} and "
    text = escape(f"{between}{entry.value:z.1f}{entry.mark}")
    if _rank(entry) is Rank.BEST:
        text = best(text)
    if entry.sd is not None:
        text += f" {escape('±')} {entry.sd:.1f}"
    marks = [TIED if _rank(entry) is Rank.TIED else "", *map(table.letters.get, entry.flags)]
    shown = ",".join(mark for mark in marks if mark)
    text += raised(escape(shown)) if shown else ""
    ranks = str(entry.standing or "")
    return text + (lowered(escape(ranks)) if ranks else "")


def _rank(number: Number) -> Rank:
    return number.standing.rank if number.standing else Rank.NONE
