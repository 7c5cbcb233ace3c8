"""Files are read without running what is in them."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from robench.checkpoints.reading import read
from robench.grid.spec import SpecError


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return (os.mkdir, (str(self.mark),))


def refusal(path: Path) -> str:
    with pytest.raises(SpecError) as refused:
        read(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.tar", "a.t7name_0", "a.ckpt"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, name: str, new: bool) -> None:
    mark = tmp_path / "mark"
    entries = {"state_dict": {"conv1.weight": torch.zeros(1)}, "args": Evil(mark)}
    torch.save(entries, tmp_path / name, _use_new_zipfile_serialization=new)
    told = refusal(tmp_path / name)
    assert f"reading it would run code (it asks for {os.name}.mkdir)" in told
    assert "safetensors.torch.save_file" in told
    assert not mark.exists()
    torch.load(tmp_path / name, weights_only=False)
    assert mark.exists()  # it would have


def test_a_bare_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "a.pt").write_bytes(pickle.dumps(Evil(mark)))
    refusal(tmp_path / "a.pt")
    assert not mark.exists()


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

    told = refusal(rewritten(tmp_path / "a.pt", lie, zipfile.ZIP_STORED))
    assert "is not a checkpoint that torch can read" in told


def test_a_compressed_zip_is_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(10**6)}, tmp_path / "a.pt")
    path = rewritten(tmp_path / "a.pt", lambda name, content: content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    assert "is a compressed zip, which torch.save never writes" in refusal(path)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.zeros(1).expand(10**7, 10**7), "says it has 400,000,000,000,000 bytes of"),
        (torch.zeros(2, 2).to_sparse(), "is not a plain tensor of numbers"),
        (torch.zeros(2, device="meta"), "is not a plain tensor of numbers"),
        (torch.zeros(2, dtype=torch.complex64), "is not a plain tensor of numbers"),
    ],
)
def test_tensors_that_are_not_what_they_seem(
    tmp_path: Path, tensor: torch.Tensor, told: str, new: bool
) -> None:
    torch.save({"a": tensor}, tmp_path / "a.pt", _use_new_zipfile_serialization=new)
    assert told in refusal(tmp_path / "a.pt")


def test_whole_modules_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.t")
    assert "torch.nn.modules.linear.Linear" in refusal(tmp_path / "a.t")


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"not a checkpoint at all" * 9])
def test_damage_is_told_in_a_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name).startswith(str(tmp_path / name))


def test_missing_and_empty_files(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.pt")
    torch.save({"epoch": 3, "acc": 0.5}, tmp_path / "empty.pt")
    assert "holds no named weights; its entries are epoch, acc" in refusal(tmp_path / "empty.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    assert "holds a list, expected named weights" in refusal(tmp_path / "list.pt")


def test_wrappers_are_taken_from_names_and_optimisers_left(tmp_path: Path) -> None:
    one = torch.ones(1)
    entries = {
        "model": {"module.encoder.module.conv1.weight": one},
        "classifier": {"_orig_mod.fc.weight": one},
        "optimizer": {"state": {0: one}, "param_groups": []},
        "rng_state": one,
    }
    torch.save(entries, tmp_path / "a.pt")
    checkpoint = read(tmp_path / "a.pt")
    assert set(checkpoint.state) == {"encoder.conv1.weight", "classifier.fc.weight"}
    assert checkpoint.entries == {"model", "classifier", "optimizer", "rng_state"}
    assert len(checkpoint.sha256) == 64
