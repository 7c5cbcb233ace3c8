"""A pivot, written as Markdown, LaTeX and CSV."""

import csv
import io
import re
from collections.abc import Callable, Collection

from robench.report.pivot import Entry, Row, Table
from robench.report.ties import Standing
from robench.report.words import TIED

MISSING = "–"

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after a line's end it would begin an argument, as would the star
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "→": r"$\rightarrow$",
    "†": r"\dag{}",
    "–": "--",
}


def markdown(table: Table) -> str:
    """A GitHub table with its caption above and its notes below."""
    heads = [*table.stub, *table.columns]
    rules = [*("---" for _ in table.stub), *("---:" for _ in table.columns)]
    lines = [markdown_escape(table.caption) + _raised(table.common, "<sup>{}</sup>".format), ""]
    lines += [_piped(map(markdown_escape, heads)), _piped(rules)]
    for rows in table.groups:
        for row in rows:
            names = [markdown_escape(name) for name in row.names]
            lines.append(
                _piped([*names, *(_markdown_entry(entry, table.common) for entry in row.entries)])
            )
    for mark, meaning in table.notes:
        lines += ["", f"<sup>{mark}</sup> {markdown_escape(meaning)}"]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    r"""A ``table`` float that needs ``\usepackage{booktabs}``, with its notes in it."""
    heads = [latex_escape(head) for head in (*table.stub, *table.columns)]
    caption = latex_escape(table.caption) + _raised(table.common, r"\textsuperscript{{{}}}".format)
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{caption}}}",
        rf"  \begin{{tabular}}{{{'l' * len(table.stub)}{'r' * len(table.columns)}}}",
        r"    \toprule",
        f"    {_aligned(heads)}",
    ]
    for rows in table.groups:
        lines.append(r"    \midrule")
        lines += [f"    {_latex_row(row, table.common)}" for row in rows]
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    if table.notes:
        meanings = [
            rf"\textsuperscript{{{latex_escape(mark)}}}~{latex_escape(meaning)}"
            for mark, meaning in table.notes
        ]
        lines.append(r"  \par\smallskip{\footnotesize " + "; ".join(meanings) + r"\par}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def comma_separated(table: Table) -> str:
    """The same for a spreadsheet: bare numbers, and what marks them in columns of their own.

    A column ``X`` is followed by ``X sd`` where there are several seeds, and by ``X mark``: best,
    tied or the flags. What is missing is empty.
    """
    meanings = {letter: f"flagged: {flag}" for letter, flag in table.flags}
    entries = [e for rows in table.groups for row in rows for e in row.entries if e is not None]
    spread = any(entry.sd is not None for entry in entries)
    suffixes = ["", " sd", " mark"] if spread else ["", " mark"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = [*table.stub, *(head + end for head in table.columns for end in suffixes)]
    writer.writerow(map(csv_escape, heads))
    for rows in table.groups:
        for row in rows:
            fields = [csv_escape(name) for name in row.names]
            for entry in row.entries:
                mean, sd, mark = _fields(entry, meanings)
                fields += [mean, sd, mark] if spread else [mean, mark]
            writer.writerow(fields)
    return text.getvalue()


def markdown_escape(text: str) -> str:
    """Any text as GitHub Markdown that shows it, on one line and within one field of a table."""
    text = _one_line(text, "\ufffd").replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", text)


def latex_escape(text: str) -> str:
    """Any text as LaTeX that shows it, on one line."""
    return "".join(_LATEX.get(character, character) for character in _one_line(text, "?"))


def csv_escape(text: str) -> str:
    """Any text as a field that no spreadsheet takes for a formula, on one line.

    A text that begins as formulas do gets an apostrophe before it (OWASP, "CSV Injection").
    """
    text = _one_line(text, "\ufffd")
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _one_line(text: str, other: str) -> str:
    """The text with ``other`` for what is not printed: codes for terminals, marks that turn the
    direction of writing.
    """
    return "".join(c if c.isprintable() else other for c in " ".join(text.split()))


def _markdown_entry(entry: Entry | None, common: Collection[str]) -> str:
    return _entry(entry, common, "**{}**".format, "<sup>{}</sup>".format, "±")


def _latex_row(row: Row, common: Collection[str]) -> str:
    names = [latex_escape(name) for name in row.names]
    # The marks stick out to the right, so that the digits of a column stay under each other.
    entries = [
        _entry(
            entry,
            common,
            r"\textbf{{{}}}".format,
            lambda marks: rf"\rlap{{\textsuperscript{{{latex_escape(marks)}}}}}",
            r"$\pm$",
        )
        for entry in row.entries
    ]
    return _aligned([*names, *(text.replace(MISSING, "--") for text in entries)])


def _entry(
    entry: Entry | None,
    common: Collection[str],
    bold: Callable[[str], str],
    raised: Callable[[str], str],
    plus_minus: str,
) -> str:
    if entry is None:
        return MISSING
    mean = f"{entry.mean:.1f}"
    text = bold(mean) if entry.standing is Standing.BEST else mean
    if entry.sd is not None:
        text += f" {plus_minus} {entry.sd:.1f}"
    tied = [TIED] if entry.standing is Standing.TIED else []
    return text + _raised([*tied, *(flag for flag in entry.flags if flag not in common)], raised)


def _raised(marks: Collection[str], raised: Callable[[str], str]) -> str:
    return raised(",".join(marks)) if marks else ""


def _fields(entry: Entry | None, meanings: dict[str, str]) -> tuple[str, str, str]:
    if entry is None:
        return "", "", ""
    marks = [entry.standing.value, *(meanings[letter] for letter in entry.flags)]
    sd = "" if entry.sd is None else f"{entry.sd:.1f}"
    return f"{entry.mean:.1f}", sd, csv_escape("; ".join(mark for mark in marks if mark))


def _piped(fields: "map[str] | list[str]") -> str:
    return f"| {' | '.join(fields)} |"


def _aligned(fields: list[str]) -> str:
    return " & ".join(fields) + r" \\"
