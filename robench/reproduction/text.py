"""A reproduction, written as Markdown that a terminal shows as well."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from robench.report.published import MEANINGS
from robench.report.render import markdown_escape
from robench.report.table import SIGNIFICANT, flag_letters
from robench.reproduction.lines import Line, Measured
from robench.reproduction.orders import Held, Order, Step, Verdict
from robench.reproduction.run import Reproduction
from robench.reproduction.tables import Settings
from robench.trust.flags import explain

NONE = "–"

REDUCED = (
    "**A reduced scale.** These numbers are not those of the paper's settings, and nothing here "
    "says whether the paper's numbers can be had again. What they can say is which order of "
    "methods held."
)

FULL = (
    "**The full scale**: the paper's settings as the presets have them. For each checked value the "
    "table says whether it lies in the interval of the measured one, and no more than that."
)

SEVERAL = (
    "±: standard deviation over seeds. 95% interval: where one more training would lie, by "
    "Student's t."
)
ONE = "95% interval: Wilson's, over test images; another training would differ by more."


def markdown(made: Reproduction) -> str:
    """The whole reproduction: the scale, both columns, the orders, the sources and the cost."""
    parts = [
        f"# {made.name} at {made.scale.name}",
        markdown_escape(made.table.title),
        FULL if made.scale.full else REDUCED,
        *_bullets("Cut for this scale:", (f"{who}: {cut}" for who, cut in made.cuts)),
        *_bullets("Run here:", made.settings),
        "\n".join(_table(made)),
        *_notes(made),
        *_orders(made),
        *_bullets("Sources of the published values:", _sources(made.lines)),
        *_bullets("Failed:", made.failures),
        f"At full scale this table takes {made.full_cost} from nothing on {made.device}: a rough "
        "time, told from single steps on this machine.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _bullets(head: str, items: Iterable[str]) -> list[str]:
    told = [f"- {markdown_escape(item)}" for item in items]
    return [head, "\n".join(told)] if told else []


def _table(made: Reproduction) -> list[str]:
    letters = _letters(made.lines)
    heads = ["method", "source → target", "attack", "published", "measured", "difference"]
    heads += ["95% interval", "n"]
    if made.scale.full:
        heads.append("the published value is")
    rules = ["---"] * 3 + ["---:"] * 5 + ["---"] * made.scale.full
    rows = [heads, rules, *(_row(line, made, letters) for line in made.lines)]
    return [f"| {' | '.join(row)} |" for row in rows]


def _row(line: Line, made: Reproduction, letters: dict[str, str]) -> list[str]:
    row, measured = line.place.row, line.measured
    fields = [markdown_escape(row.method), f"{row.source} → {row.target}", str(line.place.column)]
    fields.append(str(line.place.published or NONE))
    if measured is None:
        fields += ["failed" if isinstance(row.runs, Settings) else "not run", NONE, NONE, NONE]
    else:
        low, high = measured.interval
        fields += [_accuracy(measured, letters), difference(line)]
        fields += [f"[{low:.1f}, {high:.1f}]", f"{measured.n:,}"]
    if made.scale.full:
        fields.append(_lies(line))
    return fields


def _lies(line: Line) -> str:
    if line.measured is None or line.place.published is None:
        return NONE
    if not line.place.published.verified:
        return "? no statement"
    return "no statement (flagged)" if line.lies is None else line.lies.value


def difference(line: Line) -> str:
    """Measured less published in points, with the mark of what it was told from."""
    if line.difference is None or line.place.published is None:
        return NONE
    return f"{line.difference:+z.1f}{line.place.published.mark}"


def _accuracy(measured: Measured, letters: dict[str, str]) -> str:
    spread = "" if measured.sd is None else f" ± {measured.sd:.1f}"
    marks = ",".join(letters[flag] for flag in measured.flags)
    return f"{measured.mean:.1f}{spread}" + (f" ({marks})" if marks else "")


def _letters(lines: Sequence[Line]) -> dict[str, str]:
    measured = [line.measured for line in lines if line.measured is not None]
    return flag_letters(flag for one in measured for flag in one.flags)


def _notes(made: Reproduction) -> list[str]:
    values = [line.place.published for line in made.lines if line.place.published is not None]
    measured = [line.measured for line in made.lines if line.measured is not None]
    shown = {value.mark for value in values}
    notes = [f"{mark}: {meaning}." for mark, meaning in MEANINGS.items() if mark in shown]
    if any(one.sd is None for one in measured):
        notes.append(ONE)
    if any(one.sd is not None for one in measured):
        notes.append(SEVERAL)
    cells = [result.cell for one in measured for result in one.results.values()]
    for flag, letter in _letters(made.lines).items():
        notes.append(f"({letter}) {explain(flag, [cell for cell in cells if flag in cell.flags])}.")
    return [*_bullets("Notes:", [*notes, *_not_run(made.lines), *made.table.remarks])]


def _not_run(lines: Sequence[Line]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for line in lines:
        if isinstance(line.place.row.runs, str):
            names = reasons.setdefault(line.place.row.runs, [])
            names += [] if line.place.row.method in names else [line.place.row.method]
    return [f"Not run: {', '.join(names)} ({why})." for why, names in reasons.items()]


def _sources(lines: Sequence[Line]) -> list[str]:
    values = [line.place.published for line in lines if line.place.published is not None]
    return list(
        dict.fromkeys(f"{value.confidence}: {value.table}, {value.source_text}" for value in values)
    )


# --- orders


def _orders(made: Reproduction) -> list[str]:
    if not made.orders:
        return ["No order of methods can be told: no two methods were measured alike."]
    told = []
    for (source, target), group in groupby(made.orders, lambda order: (order.source, order.target)):
        told.append(f"{source} → {target}, measured order (p: exact McNemar on the same images):")
        told.append("\n".join(_order(order) for order in group))
    return ["## Which order of methods held", *told, _summary(made.orders)]


def _order(order: Order) -> str:
    text = f"- {order.column}: {_measured(order.measured)}"
    return text + "".join(f"\n  - published {_held(held)}" for held in order.published)


def _measured(steps: Sequence[Step]) -> str:
    first, *_ = steps
    return _value(first.higher) + "".join(
        f" {'≈' if step.tied else '>'} {_value(step.lower)} "
        f"({_p(step)}{', a tie' if step.tied else ''})"
        for step in steps
    )


def _value(line: Line) -> str:
    assert line.measured is not None
    return f"{markdown_escape(line.place.row.method)} {line.measured.mean:.1f}"


def _p(step: Step) -> str:
    return "no images in common" if step.p is None else f"p = {step.p:.2g}"


def _held(held: Held) -> str:
    names = [
        f"{markdown_escape(line.place.row.method)} {line.place.published}"
        for line in (held.step.higher, held.step.lower)
    ]
    sign = " = " if held.verdict is Verdict.EQUAL else " > "
    told = f"{held.verdict.value} ({_p(held.step)})"
    return f"{sign.join(names)}: {told}" + ("" if held.verified else " ?")


def _summary(orders: Sequence[Order]) -> str:
    pairs = [held for order in orders for held in order.published]
    if not pairs:
        return "No two of these methods have published values, so there is no order to hold."
    checked = [held.verdict for held in pairs if held.verified]
    counts = ", ".join(
        f"{checked.count(verdict)} {verdict.value}" for verdict in Verdict if verdict in checked
    )
    told = f"Of {len(checked)} orders that rest on checked values: {counts}." if checked else ""
    open_ = len(pairs) - len(checked)
    doubtful = (
        f"{open_} more rest on an unverified value: they are marked with ?, and are no statement "
        "about the paper."
    )
    if not checked:
        doubtful = (
            f"No order rests on two checked values. The {open_} above have an unverified one: they "
            "are marked with ?, and are no statement about the paper."
        )
    tie = f"A tie: p > {SIGNIFICANT:g}, not corrected for the number of comparisons."
    return " ".join(part for part in (told, doubtful if open_ else "", tie) if part)
