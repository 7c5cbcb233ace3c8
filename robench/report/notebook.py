"""The results of a run, as a notebook shows them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from robench.grid.records import Result
from robench.grid.spec import SpecError, nearest
from robench.report.render import html
from robench.report.results import Order, frame, outcomes
from robench.report.table import Table, attack_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 100  # characters of a line of the short text


@dataclass(frozen=True, repr=False)
class Results:
    """The results of a run, in the order asked; a sequence of one `Result` for each cell.

    ``frame`` has a row for each cell, ``outcomes`` one for each image, ``plot`` draws, and
    ``failures`` has a line for each cell that failed. ``table`` also holds what else is stored at
    the same scale, and is None where there is nothing; ``missing`` counts cells without a result,
    and ``cached`` those that were stored before.
    """

    results: tuple[Result, ...]
    failures: tuple[str, ...]
    out: Path
    missing: int = 0
    table: Table | None = None
    cached: int = 0

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a cell: labels, norm, eps, seed, accuracy and its 95% interval, flags.

        ``eps`` is the exact text, such as "8/255", and ``eps_value`` the number.
        """
        return frame(self.results, self._order)

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row for each image of each cell: its id, label, clean and attacked prediction, size.

        ``outcomes.to_json(path, orient="records", lines=True)`` writes it for other tools.
        """
        return outcomes(self.results)

    def plot(self, figure: str = "eps_curve") -> "Figure":
        """Draw "eps_curve", "trade_off" or "transfer", as in ``figures/`` of the results folder.

        A notebook shows what is returned, and ``savefig`` writes it. Raises SpecError for another
        name, or where these results have nothing to show in it.
        """
        from robench.report.figures import eps_curve, style, trade_off, transfer
        from robench.report.figures.points import points

        known = {
            "eps_curve": eps_curve.draw,
            "trade_off": trade_off.draw,
            "transfer": transfer.draw,
        }
        if figure not in known:
            raise SpecError(f"no figure '{figure}'; {nearest(figure, list(known))}")
        with style.paper():
            drawn = known[figure](points(self.frame, self._order))
            if drawn is None:
                raise SpecError(f"these results have nothing to show as '{figure}'")
            png = style.files(drawn)["png"]
        # IPython knows matplotlib's figures only once pyplot is imported.
        drawn._repr_png_ = lambda: png  # type: ignore[attr-defined]
        return drawn

    @property
    def _order(self) -> Order:
        return Order(one.labels for one in self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __getitem__(self, index: int) -> Result:
        return self.results[index]

    def __repr__(self) -> str:
        """Five lines: how many cells, and what they are of."""
        labels = [one.labels for one in self.results]
        attacks = zip(
            (one.attack for one in labels),
            (one.norm for one in self.results),
            (one.eps for one in self.results),
            strict=True,
        )
        data = (f"{one.source} → {one.target}" for one in labels)
        counted = [f"{len(self)} cell{'s' * (len(self) != 1)}"]
        counted += [f"{self.missing} missing"] * bool(self.missing)
        counted += [f"{len(self.failures)} failed"] * bool(self.failures)
        lines = [
            f"Results: {', '.join(counted)}, in {self.out}",
            f"  methods  {_once(one.method for one in labels)}",
            f"  data     {_once(data)}",
            f"  attacks  {_once(attack_names(dict.fromkeys(attacks)))}",
            f"  seeds    {_once(str(one.seed) for one in self.results)}",
        ]
        return "\n".join(map(_cut, lines))

    def _repr_html_(self) -> str:
        """The table, or the short text where there is none."""
        return f"<pre>{escape(repr(self))}</pre>" if self.table is None else html(self.table)


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _once(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
