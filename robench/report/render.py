"""Writers of a table: Markdown, LaTeX, CSV, and text for a terminal."""

import csv
import io
import re
import shutil
import sys
from collections.abc import Callable

import pandas as pd

from robench.report.table import TIED, Entry, Note, Rank, Table

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
)


# --- any text, safe in a format


def markdown_escape(text: str) -> str:
    """Any text as GitHub Markdown that shows it, on one line and within one field of a table."""
    text = one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", text)


def latex_escape(text: str) -> str:
    """Any text as LaTeX that shows it, on one line."""
    return one_line(text, "?").translate(_LATEX)


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
        return _show(entry, table, markdown_escape, "**{}**".format, "<sup>{}</sup>".format)

    rules = [*("---" for _ in table.names), *("---:" for _ in table.columns)]
    rows = [
        [*map(markdown_escape, row.names), *(show(entry) for entry in row.entries)]
        for row in table.rows
    ]
    heads = [markdown_escape(head) for head in (*table.names, *table.columns)]
    lines = [f"| {' | '.join(fields)} |" for fields in (heads, rules, *rows)]
    notes = [
        (f"<sup>{note.mark}</sup> " if note.mark else "") + markdown_escape(note.text)
        for note in table.footnotes
    ]
    blocks = [markdown_escape(table.caption), "\n".join(lines), *notes]
    return "\n\n".join(block for block in blocks if block) + "\n"


def latex(table: Table) -> str:
    r"""A ``table`` float that needs ``\usepackage{booktabs}``, with its notes in it."""

    def raised(marks: str) -> str:
        # The marks stick out to the right, so that the digits of a column stay under each other.
        return rf"\rlap{{\textsuperscript{{{latex_escape(marks)}}}}}"

    def show(entry: Entry) -> str:
        return _show(entry, table, latex_escape, r"\textbf{{{}}}".format, raised)

    rows = []
    for place, group in enumerate(table.groups):
        for row in group:
            rows.append([*map(latex_escape, row.names), *map(show, row.entries)])
        if place:  # a rule above each group but the first, which has the one below the headings
            first = rows[-len(group)]
            first[0] = f"\\midrule\n{first[0]}"
    frame = pd.DataFrame(rows, columns=list(map(latex_escape, (*table.names, *table.columns))))
    text = frame.style.hide(axis="index").to_latex(
        hrules=True,
        caption=latex_escape(table.caption),
        position_float="centering",
        column_format="l" * len(table.names) + "r" * len(table.columns),
    )
    notes = "; ".join(
        (rf"\textsuperscript{{{latex_escape(note.mark)}}}~" if note.mark else "")
        + latex_escape(note.text)
        for note in table.footnotes
    )
    below = rf"\par\smallskip{{\footnotesize {notes}\par}}" + "\n" if notes else ""
    end = r"\end{table}"
    return "% \\usepackage{booktabs}\n" + text.replace(end, below + end)


def comma_separated(table: Table) -> str:
    """The same for a spreadsheet: bare numbers, and what marks them in columns of their own.

    A column ``X`` is followed by ``X sd`` where there are several seeds, and by ``X mark``: its
    sign, best, tied or the flags. What is missing is empty.
    """
    spread = any(number.sd is not None for number in table.numbers)
    suffixes = ["", " sd", " mark"] if spread else ["", " mark"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = [*table.names, *(head + end for head in table.columns for end in suffixes)]
    writer.writerow(map(csv_escape, heads))
    for row in table.rows:
        fields = list(map(csv_escape, row.names))
        for mean, sd, mark in map(_fields, row.entries):
            fields += [mean, sd, mark] if spread else [mean, mark]
        writer.writerow(fields)
    return text.getvalue()


def frame_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV: six significant digits, text that no spreadsheet takes for a formula."""
    escaped = frame.map(lambda field: csv_escape(field) if isinstance(field, str) else field)
    return escaped.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def terminal(table: Table, width: int | None = None) -> str:
    """Aligned text: boxed and at most ``width`` characters wide, or plain where it is None.

    Columns that do not fit beside each other follow below, under the same names.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, width=width or 10_000, force_terminal=width is not None)
    console.print(Text(one_line(table.caption)), end="\n\n")
    for block in _blocks(table, width):
        frame = box.ROUNDED if width else box.SIMPLE_HEAD
        grid = Grid(box=frame, pad_edge=bool(width), show_edge=bool(width))
        for name in table.names:
            grid.add_column(Text(one_line(name)), vertical="bottom", overflow="fold")
        for column, needed in block.items():
            heading = Text(one_line(table.columns[column]), justify="right")
            grid.add_column(heading, justify="right", vertical="bottom", width=needed)
        for group in table.groups:
            for row in group:
                names = [Text(one_line(name)) for name in row.names]
                shown = [Text(_plain(row.entries[column], table)) for column in block]
                grid.add_row(*names, *shown, end_section=row is group[-1] and width is not None)
        console.print(grid)
        console.print()
    has_best = any(number.rank is Rank.BEST for number in table.numbers)
    best = [Note("*", "best of its column")] if has_best else []
    for note in [*best, *table.footnotes]:
        console.print(Text((f"({note.mark}) " if note.mark else "") + one_line(note.text)))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def terminal_width() -> int | None:
    """The width for `terminal`: the terminal's, at most `WIDTH`; None where there is none."""
    return min(WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def _blocks(table: Table, width: int | None) -> list[dict[int, int]]:
    """The columns and the width of each, in as many blocks as keep within ``width``.

    An entry is never broken, a heading between words where it is too long.
    """
    heads = [one_line(head) for head in table.columns]
    entries = [
        max([0, *(len(_plain(row.entries[column], table)) for row in table.rows)])
        for column in range(len(heads))
    ]
    natural = [max(len(head), entry) for head, entry in zip(heads, entries, strict=True)]
    names = zip(table.names, *(row.names for row in table.rows), strict=True)
    left = (width or 10_000) - 1 - sum(3 + min(24, max(map(len, column))) for column in names)
    if sum(natural) + 3 * len(natural) <= left:
        return [dict(enumerate(natural))]
    blocks: list[dict[int, int]] = []
    used = left
    for column, (head, entry) in enumerate(zip(heads, entries, strict=True)):
        needed = max([entry, *map(len, head.split())])
        if used + 3 + needed > left:
            blocks.append({})
            used = 0
        blocks[-1][column] = needed
        used += 3 + needed
    return blocks


def _plain(entry: Entry, table: Table) -> str:
    return _show(entry, table, one_line, "{}*".format, " ({})".format)


def _show(
    entry: Entry,
    table: Table,
    escape: Callable[[str], str],
    best: Callable[[str], str],
    raised: Callable[[str], str],
) -> str:
    """An entry in a format that writes the best number and raised marks in its own way."""
    if entry is None:
        return escape(MISSING)
    if isinstance(entry, str):
        return escape(entry)
    text = escape(f"{entry.value:z.1f}{entry.mark}")
    if entry.rank is Rank.BEST:
        text = best(text)
    if entry.sd is not None:
        text += f" {escape('±')} {entry.sd:.1f}"
    marks = [TIED if entry.rank is Rank.TIED else "", *map(table.letters.get, entry.flags)]
    shown = ",".join(mark for mark in marks if mark)
    return text + (raised(shown) if shown else "")


def _fields(entry: Entry) -> tuple[str, str, str]:
    if entry is None:
        return "", "", ""
    if isinstance(entry, str):
        return csv_escape(entry), "", ""
    marks = [entry.mark, entry.rank.value, *(f"flagged: {flag}" for flag in entry.flags)]
    sd = "" if entry.sd is None else f"{entry.sd:.1f}"
    return f"{entry.value:z.1f}", sd, csv_escape("; ".join(mark for mark in marks if mark))
