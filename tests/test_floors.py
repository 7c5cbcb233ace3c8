"""What may be imported where, and when."""

import subprocess
import sys

import pytest


def imported(code: str) -> set[str]:
    """The top-level modules in a fresh Python after ``code``."""
    script = f"import sys\n{code}\nprint('\\n', *sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.split()}


HELP = """
import robench.cli
from contextlib import suppress
sys.argv = {argv}
with suppress(SystemExit):
    robench.cli.main()
"""


@pytest.mark.parametrize("words", [None, ["--help"], ["run", "--help"], ["rnu"]])
def test_help_and_mistyped_commands_wait_for_nothing_heavy(words: list[str] | None) -> None:
    modules = imported(HELP.format(argv=["robench", *words]) if words else "import robench")
    assert "robench" in modules
    assert modules.isdisjoint({"torch", "numpy", "pandas", "matplotlib", "scipy", "pydantic"})


def test_planning_needs_no_attack_package() -> None:
    # torchattacks installs another project's package beside its own: it comes as late as can be.
    code = """
from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
assert plan(Request(), Catalog())
"""
    assert imported(code).isdisjoint({"torchattacks", "robustbench", "pyautoattack", "matplotlib"})


def test_a_report_that_draws_nothing_does_not_wait_for_matplotlib() -> None:
    modules = imported("import robench.api, robench.report.write, robench.datasets.cifar10")
    assert {"torch", "pandas"} <= modules
    assert modules.isdisjoint({"matplotlib", "scipy"})
