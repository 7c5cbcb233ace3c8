"""The one place where the papers' names meet robench's."""

from collections.abc import Mapping

from robench.report.published import Published
from robench.reproduction.tables import Column, Row, Settings

RUNS: Mapping[tuple[str, str], Settings] = {
    ("SimCLR", "LE"): Settings("paper/simclr-rocl", "plain(base=rocl)", "linear-sgd"),
    ("RoCL", "LE"): Settings("paper/rocl", "rocl", "linear-sgd"),
    ("RoCL+rLE", "rLE"): Settings("paper/rocl", "rocl", "robust-linear"),
    ("Plain", "linear, Plain base"): Settings("paper/clae", "plain(base=plain, output=0)"),
    ("Plain + CLAE", "linear, Plain base"): Settings("paper/clae", "clae(base=plain, output=0)"),
    ("UEL", "linear, UEL base"): Settings("paper/clae", "plain(base=uel, output=0)"),
    ("UEL + CLAE", "linear, UEL base"): Settings("paper/clae", "clae(base=uel, output=0)"),
    ("SimCLR", "linear, SimCLR base"): Settings("paper/clae", "plain(base=clae)"),
    ("SimCLR + CLAE", "linear, SimCLR base"): Settings("paper/clae", "clae"),
}
"""What robench runs for a paper's method under a protocol."""

NOT_RUN: Mapping[str, str] = {
    "supervised": "supervised training, which robench does not do",
    "supervised-transfer": "supervised adversarial training of a WRN-32-10, not done here",
}
"""Why a protocol is not run."""

ATTACKS: Mapping[str, str] = {
    "clean": "clean",
    "pgd": "pgd",
    "pgd20": "pgd",  # 20 steps of eps / 10 are robench's defaults
}
"""robench's name for a paper's attack."""

RADII: Mapping[tuple[str, str], str] = {
    ("linf", "8/255"): "0.0314",
    ("linf", "16/255"): "0.0627",
}
"""What RoCL's code runs where its table says otherwise (src/total_process.sh:19-20)."""


def row(method: str, protocol: str, source: str, target: str) -> Row:
    """A paper's row, with what robench runs for it or why it runs nothing."""
    runs = RUNS.get((method, protocol)) or NOT_RUN[protocol]
    return Row(method, protocol, source, target, runs)


def column(value: Published) -> Column:
    """The column that a published value belongs to, under robench's name for the attack."""
    return Column(ATTACKS[value.attack], value.norm, value.eps)


def attack(column: Column) -> str:
    """The attack that a column is run with, as one would type it."""
    if not column.eps:
        return column.attack
    eps = RADII.get((column.norm, column.eps), column.eps)
    return f"{column.attack}(norm={column.norm}, eps={eps})"
