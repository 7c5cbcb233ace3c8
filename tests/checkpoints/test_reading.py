"""Files are read without running what is in them."""

import io
import os
import pickle
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from robench.checkpoints.reading import read
from robench.grid.spec import SpecError


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return (os.mkdir, (str(self.mark),))


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
    """It stays shut, even where the environment asks torch to run what it reads."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    trap = Trap(tmp_path / "mark")
    yield trap
    assert not trap.mark.exists()
    pickle.loads(pickle.dumps(trap))
    assert trap.mark.exists()  # it would have


def refusal(path: Path) -> str:
    with pytest.raises(SpecError) as refused:
        read(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("new", [True, False])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, trap: Trap, new: bool) -> None:
    entries = {"state_dict": {"conv1.weight": torch.zeros(1)}, "args": trap}
    torch.save(entries, tmp_path / "a.t7name_0", _use_new_zipfile_serialization=new)
    message = refusal(tmp_path / "a.t7name_0")
    assert f"reading it would run code (it asks for {os.name}.mkdir)" in message
    assert "safetensors.torch.save_file" in message


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_bare_pickles_and_tars_of_them_are_refused_and_not_run(
    tmp_path: Path, trap: Trap, name: str
) -> None:
    content = pickle.dumps(trap)
    (tmp_path / name).write_bytes(content)
    refusal(tmp_path / name)
    with tarfile.open(tmp_path / name, "w") as archive:  # as torch wrote before 2018
        for part in ("storages", "tensors", "pickle"):
            member = tarfile.TarInfo(part)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    refusal(tmp_path / name)


def rewritten(path: Path, change: Callable[[str, bytes], bytes], kind: int) -> Path:
    """The zip with other content, whole again."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", kind) as new:
        for name, content in members.items():
            new.writestr(name, change(name, content))
    return path


def test_more_numbers_than_the_file_has_are_refused(tmp_path: Path) -> None:
    """torch 2.6 reads on in memory that belongs to something else."""
    torch.save({"conv1.weight": torch.arange(16.0)}, tmp_path / "a.pt")

    def lie(name: str, content: bytes) -> bytes:
        return content.replace(b"K\x10", b"M\x00\x40") if name.endswith("data.pkl") else content

    message = refusal(rewritten(tmp_path / "a.pt", lie, zipfile.ZIP_STORED))
    assert "is not a checkpoint that torch can read" in message


def test_a_compressed_zip_is_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(10**6)}, tmp_path / "a.pt")
    path = rewritten(tmp_path / "a.pt", lambda name, content: content, zipfile.ZIP_DEFLATED)
    assert "is a compressed zip, which torch.save never writes" in refusal(path)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"a": torch.zeros(1).expand(10**7, 10**7)}, "says it has 400,000,000,000,000 bytes of"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "is not a plain tensor of numbers"),
        ({"a": torch.zeros(2, device="meta")}, "is not a plain tensor of numbers"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "is not a plain tensor of numbers"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"epoch": 3, "acc": 0.5}, "holds no named weights; its entries are epoch, acc"),
        ([torch.zeros(1)], "holds a list, expected named weights"),
    ],
)
def test_what_is_not_named_weights_is_refused(tmp_path: Path, saved: Any, message: str) -> None:
    for new in (True, False):
        torch.save(saved, tmp_path / "a.pt", _use_new_zipfile_serialization=new)
        assert message in refusal(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"not a checkpoint at all" * 9])
def test_missing_and_damaged_files(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert ("No such file" in refusal(tmp_path / name)) == (content is None)


def test_wrappers_are_taken_from_names_and_optimisers_left(tmp_path: Path) -> None:
    one = torch.ones(1)
    entries = {
        "net": {"conv1.weight": one, "epoch": 1},
        "model": {"module.encoder.module.conv1.weight": one},
        "classifier": {"_orig_mod.fc.weight": one},
        "optimizer": {"state": {0: {"exp_avg": one}}, "param_groups": []},
        "rng_state": torch.get_rng_state(),
    }
    torch.save(entries, tmp_path / "a.pt")
    checkpoint = read(tmp_path / "a.pt")
    names = {"net.conv1.weight", "model.encoder.conv1.weight", "classifier.fc.weight"}
    assert set(checkpoint.state) == names
    assert checkpoint.entries == set(entries)


def test_entries_that_hold_everything_are_no_part_of_names(tmp_path: Path) -> None:
    inner = {"params": {"conv1.weight": torch.ones(1)}, "step": 3}
    # Nobody means one entry twice, or within itself.
    torch.save({"ckpt": {"model": inner, "again": inner}, "ckpt2": inner}, tmp_path / "a.pt")
    inner["params"]["itself"] = inner
    torch.save({"ckpt": inner}, tmp_path / "b.pt")
    for name in "ab":
        assert set(read(tmp_path / f"{name}.pt").state) == {"conv1.weight"}
    beside = {"state_dict": {"conv1.weight": torch.ones(1)}, "mu": torch.ones(3)}
    torch.save(beside, tmp_path / "a.pt")
    assert set(read(tmp_path / "a.pt").state) == {"state_dict.conv1.weight", "mu"}


@pytest.mark.parametrize(
    "state",
    [
        {"conv1.weight": torch.ones(1), "module.conv1.weight": torch.zeros(1)},
        {"net.conv1.weight": torch.ones(1), "net": {"conv1.weight": torch.zeros(1)}},
    ],
)
def test_two_weights_of_one_name_are_refused(state: dict[str, Any], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "a.pt")
    assert re.search("two weights are named (net.)?conv1.weight, ", refusal(tmp_path / "a.pt"))


def test_safetensors_are_read_as_such_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(safetensors.torch.save({"module.conv1.weight": torch.ones(2)}))
    assert read(tmp_path / "a.pt").state["conv1.weight"].tolist() == [1, 1]
