"""A pickle that would leave a mark, in every place where a file is read: refused, and no mark."""

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from commands import finished, robench
from stored import planted, store_in

from robench.checkpoints.reading import read
from robench.contracts import DataError, Dataset
from robench.data import parquet
from robench.data.npz import KEYS
from robench.datasets.cifar10 import Cifar10
from robench.datasets.folder import Folder
from robench.datasets.npz import Npz
from robench.grid.questions import key
from robench.grid.records import Outcome
from robench.grid.spec import SpecError
from robench.store.checkpoints import States
from robench.store.store import Store


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def npy(trap: Trap) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([trap, None]), allow_pickle=True)
    return buffer.getvalue()


def npz(trap: Trap, names: Iterable[str] = KEYS) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **dict.fromkeys(names, np.array([trap, None])))
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
            member = tarfile.TarInfo(name)
            member.size = len(bare(trap))
            tar.addfile(member, io.BytesIO(bare(trap)))
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


Content = Callable[[Trap], bytes]
each_content = pytest.mark.parametrize("content", [bare, npy, npz, torch_zip])


@pytest.fixture
def trap(tmp_path: Path) -> Iterable[Trap]:
    trap = Trap(tmp_path / "sprung")
    yield trap
    assert not trap.mark.exists()
    pickle.loads(bare(trap))
    assert trap.mark.exists()  # the trap works


@pytest.mark.parametrize("content", [torch_zip, torch_legacy, torch_tar, nested, bare, npy])
@pytest.mark.parametrize("name", ["a.pt", "a.tar", "a.safetensors"])
def test_in_a_checkpoint(
    tmp_path: Path, trap: Trap, name: str, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where the environment asks torch to run it."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    (tmp_path / name).write_bytes(content(trap))
    with pytest.raises(SpecError) as refused:
        read(tmp_path / name)
    assert "\n" not in str(refused.value)
    assert str(tmp_path / name) in str(refused.value)


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


@each_content
def test_in_a_zoo(tmp_path: Path, trap: Trap, content: Content) -> None:
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


OUTCOME = (*Outcome.__dataclass_fields__, "clean", "attacked", "classes")


@pytest.mark.parametrize("content", [bare, npy, torch_zip, lambda trap: npz(trap, OUTCOME)])
def test_in_a_cell(tmp_path: Path, trap: Trap, content: Content) -> None:
    kept = store_in(tmp_path, [planted([True, False])])
    (path,) = (kept.out / "cells").glob("*.json")
    (result,) = kept.results()
    payload, said = content(trap), list[str]()
    store = Store(kept.out, kept.zoo, said.append)
    path.with_suffix(".npz").write_bytes(payload)
    sha256 = hashlib.sha256(payload).hexdigest()
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "outcome_sha256": sha256}))
    assert store.read(result.cell.evaluation) is None
    path.write_bytes(payload)
    again = Store(kept.out, kept.zoo, said.append)
    assert list(again.results()) == []
    assert len(said) == 2
    assert not any("\n" in line for line in said)


@each_content
def test_in_a_checkpoint_of_unfinished_work(tmp_path: Path, trap: Trap, content: Content) -> None:
    payload, said = content(trap), list[str]()
    name = f"00000001-{hashlib.sha256(payload).hexdigest()[:16]}.safetensors"
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / name).write_bytes(payload)
    assert States(tmp_path / "work", {}, said.append).load() is None
    assert "is damaged" in said[0]


@each_content
@pytest.mark.parametrize(
    ("dataset", "files"),
    [
        (Npz("a.npz"), ["a.npz"]),
        (Folder("a"), [f"a/{name}/{i}.png" for name in ("cats", "dogs") for i in range(6)]),
        (
            Cifar10(),  # its batches are pickles, and are opened only with the published MD5
            [
                f"cifar-10-batches-py/{name}"
                for name in (
                    *(f"data_batch_{i}" for i in range(1, 6)),
                    "test_batch",
                    "batches.meta",
                )
            ],
        ),
        (Cifar10(), ["cifar-10-python.tar.gz"]),
        (Cifar10(), ["cifar10/train-0.parquet", "cifar10/test-0.parquet"]),
    ],
    ids=["npz", "folder", "batches", "archive", "parquet"],
)
def test_in_a_data_set(
    tmp_path: Path, trap: Trap, dataset: Dataset, files: list[str], content: Content
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content(trap))
    with pytest.raises(DataError) as refused:
        dataset.load(tmp_path, lambda items, label: items)
    assert "\n" not in str(refused.value)


def test_in_a_decoded_cache(tmp_path: Path, trap: Trap) -> None:
    """It counts as none, and the data set is decoded again."""
    arrays = {name: np.arange(4) % 2 for name in KEYS}
    images = np.zeros((4, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "a.npz", **{k: images if "im" in k else v for k, v in arrays.items()})
    for payload in (npy(trap), bare(trap)):
        Npz("a.npz").load(tmp_path, lambda items, label: items)
        (index,) = (tmp_path / ".robench-cache").glob("*/index.json")
        sums = {
            path.name: hashlib.sha256(payload).hexdigest() for path in index.parent.glob("*.n*")
        }
        for name in sums:
            (index.parent / name).write_bytes(payload)
        index.write_text(json.dumps({**json.loads(index.read_text()), "arrays": sums}))
        again = Npz("a.npz").load(tmp_path, lambda items, label: items)
        assert not again.train.images.any()


def test_in_the_type_of_a_parquet_column(tmp_path: Path, trap: Trap) -> None:
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
        parquet.read(tmp_path / "a.parquet", "label", 10, lambda items, label: items, "Decoding")
