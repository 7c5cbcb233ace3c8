"""One process at a time; a lock whose process was killed is free."""

import subprocess
import sys
from pathlib import Path

import pytest

from robench.store.locks import Busy, lock


def test_a_lock_is_held_until_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "below" / "work.lock"
    with lock(path), pytest.raises(Busy, match="another process"):
        lock(path)
    with lock(path):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "work.lock"
    script = f"""
import pathlib, time
from robench.store.locks import lock
with lock(pathlib.Path({str(path)!r})):
    print("held", flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(Busy):
        lock(path)
    process.kill()
    process.communicate()
    with lock(path):
        pass
