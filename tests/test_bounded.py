"""Files are read whole or refused: none that never ends, none that is too large."""

import os
from pathlib import Path

import pytest

from robench import bounded
from robench.checkpoints.reading import read
from robench.grid.spec import SpecError
from robench.store.store import Store


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123456")
    assert bounded.read(tmp_path / "a", 6) == b"123456"
    with pytest.raises(bounded.UnfitError, match=r"it has more than the .* MiB that are read"):
        bounded.read(tmp_path / "a", 5)


def test_room_is_made_for_the_file_and_not_for_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123456")
    assert bounded.read(tmp_path / "a", 2**62) == b"123456"


def test_a_hole_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(bounded.UnfitError, match="it has more than the 256 MiB"):
        bounded.read(tmp_path / "a", 2**28)
    with pytest.raises(SpecError, match="it has more than the 16384 MiB"):
        read(tmp_path / "a")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_never_ends_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.pt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(bounded.UnfitError, match="it is no file"):
        bounded.read(path, 10)
    with pytest.raises(SpecError, match=r"cannot read .*a\.pt: it is no file"):
        read(path)


def test_a_link_to_a_device_in_a_results_folder_is_damage(tmp_path: Path) -> None:
    (tmp_path / "out" / "cells").mkdir(parents=True)
    (tmp_path / "out" / "cells" / "a.json").symlink_to("/dev/zero")
    said: list[str] = []
    assert list(Store(tmp_path / "out", tmp_path / "zoo", said.append).results()) == []
    assert "it is no file" in said[0]
