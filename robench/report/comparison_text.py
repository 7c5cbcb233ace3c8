"""A comparison, written for a terminal and as CSV."""

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from robench.report.compare import Comparison, Row, Side
from robench.report.tables import csv_escape
from robench.report.words import attack_name, flag_letters, on_all, says_norm
from robench.trust.flags import explain
from robench.trust.paired import RESAMPLES

CSV_COLUMNS = (
    "method_a",
    "method_b",
    "scale",
    "source",
    "target",
    "encoder",
    "probe",
    "attack",
    "norm",
    "eps",
    "seeds",
    "n",
    "accuracy_a",
    "sd_a",
    "accuracy_b",
    "sd_b",
    "difference",
    "ci_low",
    "ci_high",
    "only_a",
    "only_b",
    "p",
    "p_holm",
    "flags_a",
    "flags_b",
)


def aligned(comparison: Comparison) -> str:
    """Aligned columns, a table for each scale; what is the same in every row stands above it."""
    sides = [side for row in comparison.rows for side in (row.a, row.b)]
    common = on_all(sides)
    letters = {flag: letter for flag, letter in flag_letters(sides).items() if flag not in common}
    tables = [
        _table(comparison, scale, list(rows), letters)
        for scale, rows in groupby(comparison.rows, key=lambda row: row.place.scale)
    ]
    return "\n\n".join([*tables, "\n".join(_notes(comparison, letters, common))]) + "\n"


def comma_separated(comparison: Comparison) -> str:
    """One line a row: accuracies in percent, differences in points, a single seed's sd empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in comparison.rows:
        numbers = (row.a.mean, row.a.sd, row.b.mean, row.b.sd, row.difference, *row.interval)
        writer.writerow(
            [
                *map(csv_escape, (comparison.a, comparison.b, *row.place)),
                ";".join(map(str, row.seeds)),
                row.n,
                *("" if number is None else f"{number:.6g}" for number in numbers),
                row.a.alone,
                row.b.alone,
                f"{row.p:.6g}",
                f"{row.p_holm:.6g}",
                csv_escape(";".join(row.a.flags)),
                csv_escape(";".join(row.b.flags)),
            ]
        )
    return text.getvalue()


class _Column(NamedTuple):
    head: str
    fields: list[str]
    left: bool = False


def _table(comparison: Comparison, scale: str, rows: list[Row], letters: dict[str, str]) -> str:
    facts = [
        _Column("data", [f"{row.place.source} → {row.place.target}" for row in rows], left=True),
        _Column("encoder", [row.place.encoder for row in rows], left=True),
        _Column("probe", [row.place.probe for row in rows], left=True),
        _Column("seeds", [",".join(map(str, row.seeds)) for row in rows]),
        _Column("images", [f"{row.n:,}" for row in rows]),
    ]
    same = [f"{fact.head} {fact.fields[0]}" for fact in facts if len(set(fact.fields)) == 1]
    with_norm = says_norm(row.place.norm for row in rows)
    attacks = [
        attack_name(row.place.attack, row.place.norm, row.place.eps, with_norm=with_norm)
        for row in rows
    ]
    intervals = [f"[{row.interval.low:+z.1f}, {row.interval.high:+z.1f}]" for row in rows]
    columns = [
        *(fact for fact in facts if len(set(fact.fields)) > 1),
        _Column("attack", attacks, left=True),
        _Column(comparison.a, [_accuracy(row.a, letters) for row in rows]),
        _Column(comparison.b, [_accuracy(row.b, letters) for row in rows]),
        _Column("difference", [f"{row.difference:+z.1f}" for row in rows]),
        _Column("95% interval", intervals),
        _Column("only one right", [f"{row.a.alone:,} : {row.b.alone:,}" for row in rows]),
        _Column("p", [f"{row.p:.2g}" for row in rows]),
        _Column("p (Holm)", [f"{row.p_holm:.2g}" for row in rows]),
    ]
    caption = [
        f"{comparison.a} against {comparison.b}: accuracy (%) on the same test images; difference: "
        f"{comparison.a} less {comparison.b}, in points.",
        f"Scale: {scale}.",
        *([f"Throughout: {', '.join(same)}."] if same else []),
        "",
    ]
    return "\n".join([*caption, *_lines(columns)])


def _lines(columns: Sequence[_Column]) -> list[str]:
    """Columns two spaces apart, with their heads underlined."""
    padded = []
    for column in columns:
        width = max(map(len, (column.head, *column.fields)))
        whole = [column.head, "-" * width, *column.fields]
        padded.append([text.ljust(width) if column.left else text.rjust(width) for text in whole])
    return ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]


def _accuracy(side: Side, letters: dict[str, str]) -> str:
    spread = "" if side.sd is None else f" ± {side.sd:.1f}"
    marks = ",".join(letters[flag] for flag in side.flags if flag in letters)
    return f"{side.mean:.1f}{spread}" + (f" ({marks})" if marks else "")


def _notes(comparison: Comparison, letters: dict[str, str], common: Sequence[str]) -> Sequence[str]:
    several = any(len(row.seeds) > 1 for row in comparison.rows)
    count = len(comparison.rows)
    together = ", all seeds of an image together" if several else ""
    notes = [
        f"95% interval: paired bootstrap over images ({RESAMPLES:,} resamples, percentiles)"
        f"{together}.",
        f"p: McNemar's exact test, two-sided{together}; Holm: corrected for the "
        + (f"{count} comparisons" if count > 1 else "one comparison")
        + " made here.",
    ]
    if several:
        notes.append("±: standard deviation over seeds.")
    notes += [f"All numbers {explain(flag)}" for flag in common]
    return notes + [f"({letter}) {explain(flag)}" for flag, letter in letters.items()]
