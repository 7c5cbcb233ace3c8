"""Run the command line inside the test process, as a terminal would."""

import io
import signal
import sys
from contextlib import AbstractContextManager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest import mock

from robench.cli import main

PLUGINS = Path(__file__).parent / "plugins"
TOYS = tuple(
    word
    for name in ("blobs", "tiny", "mirror", "nudge", "centroid")
    for word in ("--plugin", str(PLUGINS / f"{name}.py"))
)
TOY_GRID = ("--methods", "mirror", "--sources", "blobs", "--encoders", "tiny")
TOY_RUN = ("run", *TOYS, *TOY_GRID, "--epochs", "1", "--images", "192", "--limit", "16")


class Done(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def robench(*words: str) -> Done:
    """Run ``robench words...`` to its end."""
    out, err = io.StringIO(), io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    code: object = None
    try:
        with (
            mock.patch.object(sys, "argv", ["robench", *words]),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            main()
    except SystemExit as leaving:
        code = leaving.code
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file under a folder but locks: its content and when it was written."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != ".locks"
    }


def without_figures() -> AbstractContextManager[object]:
    """Reports write tables only: drawing takes longer than everything else on toys."""
    return mock.patch("robench.report.write.save_figures", return_value=[])


@cache
def _finished() -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="robench-finished-")
    with without_figures():
        done = robench(*TOY_RUN, *toys_in(Path(folder.name)))
    assert done.code == 0, done
    return folder


def toys_in(folder: Path) -> tuple[str, ...]:
    """What completes `TOY_RUN`: an attack, and where its results and encoders go."""
    attack = ("--attacks", "pgd", "--eps", "8/255")
    return (*attack, "--out", str(folder / "out"), "--zoo", str(folder / "zoo"))


def finished(folder: Path) -> tuple[str, ...]:
    """Copy a finished run on toys, two cells, into ``folder``; the words that ran it there."""
    for part in ("out", "zoo"):
        copytree(Path(_finished().name) / part, folder / part)
    return (*TOY_RUN, *toys_in(folder))
