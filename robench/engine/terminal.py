"""A run on a terminal: lines of a log, and below them one bar with the time left."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.table import Column
from rich.text import Text

from robench.contracts import Item
from robench.engine.progress import duration
from robench.grid.spec import printable
from robench.report.names import proper

_TRUST = 10.0
"""Seconds of work after which the time left goes by the pace as much as by the estimate."""


class Terminal:
    """Progress on a terminal, in a ``with`` statement.

    After `plan` the bar is that of all parts, before it that of the items at hand.
    """

    def __init__(self, console: Console) -> None:
        label = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        text = TextColumn("{task.description}", markup=False, table_column=label)
        columns = text, BarColumn(24), TaskProgressColumn(), _Left()
        self._console, self._planned = console, False
        self._parts, self._moved = (
            defaultdict[str, list[float]](list),
            defaultdict[str, float](float),
        )
        self._bar = Progress(
            *columns, console=console, transient=True, expand=True, refresh_per_second=4
        )
        self._task = self._bar.add_task("", total=None, visible=False, trust=0.0)

    def __enter__(self) -> "Terminal":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line of the log above the bar."""
        for one in line.splitlines() or [""]:
            style = "red" * one.startswith("failed: ")
            self._console.print(Text(printable(one)), style=style)

    def warn(self, line: str) -> None:
        """Print a warning above the bar."""
        self._console.print(Text(f"robench: {printable(line)}"), style="yellow")

    def plan(self, parts: Sequence[tuple[str, float]]) -> None:
        """Take the label of each part of the work, and roughly its seconds."""
        self._planned = True
        self._begin(parts, _TRUST)

    def _begin(self, parts: Sequence[tuple[str, float]], trust: float) -> None:
        for label, seconds in parts:
            self._parts[label].append(seconds)
        whole = sum(seconds for _, seconds in parts)
        self._bar.reset(self._task, total=whole, visible=bool(parts), trust=trust)

    def follow(self, label: str, done: int, total: int) -> None:
        """Move the bar to where a part is."""
        part = self._parts[label][-1] if self._parts[label] else 0.0
        step = max(0.0, part * done / max(total, 1) - self._moved[label])
        self._moved[label] += step
        shown = proper(printable(label)).replace("->", "→")
        self._bar.update(self._task, description=shown, advance=step)

    def finish(self, label: str) -> None:
        """Move the bar to the end of a part; one that starts again counts once."""
        part = self._parts[label].pop() if self._parts[label] else 0.0
        step = part - self._moved.pop(label, 0.0)
        self._bar.update(self._task, description="", advance=max(0.0, step))

    def __call__(self, items: Sequence[Item], label: str) -> Iterable[Item]:
        """Hand the items on, and move the bar by each one's share of its part."""
        if not self._planned:
            self._begin([(label, float(len(items)))], 0.0)
        try:
            for done, item in enumerate(items):
                self.follow(label, done, len(items))
                yield item
        finally:
            self.finish(label)


class _Left(ProgressColumn):
    """The time left at the pace so far, or as estimated at first."""

    def render(self, task: Task) -> Text:
        trust, elapsed = task.fields["trust"], task.elapsed or 0.0
        left = (task.total or 0.0) - task.completed
        if left < 1e-6 or not trust + task.completed:
            return Text("")
        pace = (trust + elapsed) / (trust + task.completed)
        return Text(f"{duration(left * pace)} left", style="cyan")
