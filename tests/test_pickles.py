"""A pickle that would leave a mark, in every place where a file is read: refused, and no mark."""

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from commands import PLUGINS, finished, robench
from layout_files import rocl
from stored import planted, store_in

from robench.checkpoints.reading import read
from robench.contracts import DataError
from robench.data import parquet
from robench.data.cifar import CIFAR10
from robench.data.npz import KEYS
from robench.datasets.cifar10 import Cifar10
from robench.datasets.folder import Folder
from robench.datasets.npz import Npz
from robench.grid.questions import key
from robench.grid.spec import SpecError
from robench.store.checkpoints import States
from robench.store.store import Store

Item = TypeVar("Item")


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def quiet(items: Sequence[Item], label: str) -> Iterable[Item]:
    return items


def boxed(trap: Trap) -> np.ndarray[Any, Any]:
    box = np.empty(3, dtype=object)
    box[:] = [trap] * 3
    return box


def npy(trap: Trap) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, boxed(trap), allow_pickle=True)
    return buffer.getvalue()


def npz(trap: Trap, names: Iterable[str]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **dict.fromkeys(names, boxed(trap)))
    return buffer.getvalue()


def torch_zip(trap: Trap) -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}, "args": trap}, buffer)
    return buffer.getvalue()


def torch_legacy(trap: Trap) -> bytes:
    buffer = io.BytesIO()
    torch.save({"args": trap}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def torch_tar(trap: Trap) -> bytes:
    """As torch wrote before 2018: `storages`, `tensors` and `pickle`, each of them pickles."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("storages", "tensors", "pickle"):
            content = pickle.dumps(trap)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def nested(trap: Trap) -> bytes:
    """A torch zip of which only a file beside the pickle is a pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(trap, protocol=2))
        archive.writestr("a/version", "3\n")
    return buffer.getvalue()


def bare(trap: Trap) -> bytes:
    return pickle.dumps(trap)


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path / "sprung")


def test_the_trap_works(trap: Trap) -> None:
    pickle.loads(pickle.dumps(trap))
    assert trap.mark.exists()


# --- checkpoints


@pytest.mark.parametrize("content", [torch_zip, torch_legacy, torch_tar, nested, bare, npy])
@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.tar", "a.zip", "a.ckpt", "a.safetensors"])
def test_in_a_checkpoint(
    tmp_path: Path, trap: Trap, name: str, content: Callable[[Trap], bytes]
) -> None:
    (tmp_path / name).write_bytes(content(trap))
    with pytest.raises(SpecError) as refused:
        read(tmp_path / name)
    assert "\n" not in str(refused.value)
    assert str(tmp_path / name) in str(refused.value)
    assert not trap.mark.exists()


def test_torch_is_not_talked_out_of_it_by_the_environment(
    tmp_path: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    (tmp_path / "a.pt").write_bytes(torch_zip(trap))
    with pytest.raises(SpecError, match=r"reading it would run code \(it asks for "):
        read(tmp_path / "a.pt")
    assert not trap.mark.exists()


def test_safetensors_are_read_as_such_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(safetensors.torch.save({"conv1.weight": torch.ones(2)}))
    assert read(tmp_path / "a.pt").state["conv1.weight"].tolist() == [1, 1]


def test_on_the_command_line(tmp_path: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.pt").write_bytes(torch_zip(trap))
    done = robench("evaluate", "a.pt", "--encoder", "resnet18", "--data", "shapes10")
    assert done.code == 2
    assert done.err.startswith("robench: a.pt is refused: reading it would run code")
    assert done.err.count("\n") == 1
    assert not trap.mark.exists()


# --- the zoo and results


@pytest.mark.parametrize("content", [bare, npy, torch_zip])
def test_in_a_zoo(tmp_path: Path, trap: Trap, content: Callable[[Trap], bytes]) -> None:
    """Also where the card's hash is that of the pickle, as somebody who means it would write."""
    finished(tmp_path)
    said: list[str] = []
    store = Store(tmp_path / "out", tmp_path / "zoo", said.append)
    (card,) = store.cards()
    probing = next(store.results()).cell.evaluation.probing
    folder, payload = tmp_path / "zoo" / card.key, content(trap)
    (folder / "encoder.safetensors").write_bytes(payload)
    (folder / "probes" / f"{key(probing)}.safetensors").write_bytes(payload)
    assert store.encoder(replace(card, weights_sha256=hashlib.sha256(payload).hexdigest())) is None
    assert store.probe(probing) is None
    (folder / "card.json").write_bytes(payload)
    assert store.card_by_key(card.key) is None
    assert len(said) == 3
    assert not any("\n" in line for line in said)
    assert not trap.mark.exists()


NAMES = ("index", "label", "clean_prediction", "prediction", "size", "clean", "attacked")


@pytest.mark.parametrize(
    "content",
    [bare, npy, torch_zip, lambda trap: npz(trap, (*NAMES, "classes"))],
    ids=["bare", "npy", "torch", "npz"],
)
def test_in_a_cell(tmp_path: Path, trap: Trap, content: Callable[[Trap], bytes]) -> None:
    kept = store_in(tmp_path, [planted([True, False])])
    (path,) = (kept.out / "cells").glob("*.json")
    (result,) = kept.results()
    payload, said = content(trap), list[str]()
    store = Store(kept.out, kept.zoo, said.append)
    (kept.out / "examples" / f"{path.stem}.npz").write_bytes(payload)
    assert store.examples(result.cell) is None
    path.with_suffix(".npz").write_bytes(payload)
    sha256 = hashlib.sha256(payload).hexdigest()
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "outcome_sha256": sha256}))
    assert store.result(result.cell.evaluation) is None
    path.write_bytes(payload)
    assert list(store.results()) == []
    assert len(said) == 3
    assert not any("\n" in line for line in said)
    assert not trap.mark.exists()


def test_beside_the_numbers_of_a_checkpoint(
    tmp_path: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(rocl().entries, "a.pt")
    toys = [w for name in ("blobs", "nudge") for w in ("--plugin", str(PLUGINS / f"{name}.py"))]
    grid = ("--encoder", "resnet18(width=4)", "--data", "blobs", "--attacks", "nudge", *toys)
    grid += ("--probe", "linear(strength=0.1)")
    assert robench("evaluate", "a.pt", *grid, "--limit", "2").code == 0
    (folder,) = Path("results/evaluate").iterdir()
    for payload in (bare(trap), npz(trap, NAMES[:5])):
        told = json.loads((folder / "result.json").read_bytes())
        for row in told["rows"]:
            (folder / row["file"]).write_bytes(payload)
            row["file_sha256"] = hashlib.sha256(payload).hexdigest()
        (folder / "result.json").write_text(json.dumps(told))
        done = robench("evaluate", "a.pt", *grid, "--limit", "2")
        assert done.code == 0, done
        assert "] clean: " in done.out  # made again
    (folder / "result.json").write_bytes(bare(trap))
    assert robench("evaluate", "a.pt", *grid, "--limit", "2").code == 0
    assert not trap.mark.exists()


@pytest.mark.parametrize("content", [bare, npy, torch_zip])
def test_in_the_state_of_unfinished_work(
    tmp_path: Path, trap: Trap, content: Callable[[Trap], bytes]
) -> None:
    payload, said = content(trap), list[str]()
    name = f"00000001-{hashlib.sha256(payload).hexdigest()[:16]}.safetensors"
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / name).write_bytes(payload)
    assert States(tmp_path / "work", {}, said.append).load() is None
    assert "is damaged" in said[0]
    assert not trap.mark.exists()


# --- data sets


@pytest.mark.parametrize(
    "content",
    [bare, npy, torch_zip, lambda trap: npz(trap, KEYS)],
    ids=["bare", "npy", "torch", "npz"],
)
def test_in_an_npz_data_set(tmp_path: Path, trap: Trap, content: Callable[[Trap], bytes]) -> None:
    (tmp_path / "a.npz").write_bytes(content(trap))
    with pytest.raises(DataError) as refused:
        Npz(str(tmp_path / "a.npz")).load(tmp_path, quiet)
    assert "\n" not in str(refused.value)
    assert not trap.mark.exists()


def test_in_a_batch_of_cifar(tmp_path: Path, trap: Trap) -> None:
    """The batches are pickles, and are opened only with the published MD5."""
    folder = tmp_path / CIFAR10.published.base_folder
    folder.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(bare(trap))
    with pytest.raises(DataError, match="data_batch_1 has MD5 "):
        Cifar10().load(tmp_path, quiet)
    assert not trap.mark.exists()


def test_in_a_decoded_cache(tmp_path: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as none, and the data set is decoded again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    Npz(str(images(tmp_path))).load(tmp_path, quiet)
    (index,) = (tmp_path / ".robench-cache").glob("*/index.json")
    payload = npy(trap)
    sums = {path.name: hashlib.sha256(payload).hexdigest() for path in index.parent.glob("*.npy")}
    for name in sums:
        (index.parent / name).write_bytes(payload)
    index.write_text(json.dumps({**json.loads(index.read_text()), "arrays": sums}))
    again = Npz(str(tmp_path / "a.npz")).load(tmp_path, quiet)
    assert not again.train.images.any()  # as it was drawn
    index.write_bytes(bare(trap))
    assert not Npz(str(tmp_path / "a.npz")).load(tmp_path, quiet).test.images.any()
    assert not trap.mark.exists()


def images(folder: Path) -> Path:
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for part, count in (("train", 6), ("val", 2), ("test", 2)):
        arrays[f"{part}_images"] = np.zeros((count, 4, 4, 3), np.uint8)
        arrays[f"{part}_labels"] = np.arange(count, dtype=np.uint8) % 2
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def test_in_a_parquet_file(tmp_path: Path, trap: Trap) -> None:
    """pyarrow before 14.0.1 unpickled what a column's type said of itself (CVE-2023-47248)."""
    said = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(trap),
    }
    label = pa.field("label", pa.int64(), metadata=said)
    kind = pa.struct([("bytes", pa.binary())])
    rows = pa.array([{"bytes": bare(trap)}], kind)
    table = pa.table([rows, pa.array([0])], schema=pa.schema([pa.field("img", kind), label]))
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="row 0: not an image that can be decoded"):
        parquet.read(tmp_path / "a.parquet", "label", 10, quiet, "test")
    (tmp_path / "b.parquet").write_bytes(bare(trap))
    with pytest.raises(DataError, match="not a Parquet file"):
        parquet.read(tmp_path / "b.parquet", "label", 10, quiet, "test")
    assert not trap.mark.exists()


def test_in_a_folder_of_images(tmp_path: Path, trap: Trap) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            (tmp_path / "photos" / name / f"{number}.png").write_bytes(bare(trap))
    with pytest.raises(DataError, match="not an image that can be decoded"):
        Folder(str(tmp_path / "photos")).load(tmp_path, quiet)
    assert not trap.mark.exists()
