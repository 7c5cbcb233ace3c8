"""Every parser that is given files or words from outside, and the one error that it may end in.

A target's ``run`` says whether the input was taken. It returns False where the layer refused it
with its own clear error; anything else that is raised is a crash.
"""

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
from hypothesis import strategies as st
from mutation import any_json, any_text, edited, edited_json, edited_zip
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from robench import api
from robench.catalog.catalog import Catalog
from robench.catalog.plan import Request, plan, scale
from robench.checkpoints.heads import own_head
from robench.checkpoints.layouts import choose_branch, normalisation, recognise
from robench.checkpoints.naming import trunk
from robench.checkpoints.reading import read
from robench.checkpoints.translate import translate
from robench.contracts import DataError, Encoder, State
from robench.data import batches, npz, parquet
from robench.data.cifar import CIFAR10
from robench.data.decode import decode, fitted
from robench.engine.bench import restore
from robench.grid.questions import Evaluation, Pretraining, Probing, key
from robench.grid.recipe import Recipe
from robench.grid.records import Card, Cell, Labels, Provenance
from robench.grid.spec import Spec, SpecError, parse, parse_list
from robench.report import render
from robench.report.results import frame, metric_frame
from robench.report.table import pivot
from robench.store.checkpoints import States, _encoded
from robench.store.store import Store, StoreError, _seal

_PROVENANCE = Provenance("0", "", {}, "cpu", 1, "fp32", "2026-01-01T00:00:00+00:00")
_TRAINING = Pretraining("plain", "resnet8(width=2)", "shapes10", Recipe(1, 64), 0)
_EVALUATION = Evaluation(
    Probing(_TRAINING, "linear", "shapes10"), "pgd(eps=8/255, norm=linf, steps=2)", 32
)


@dataclass(frozen=True)
class Target:
    """A parser: what it is given, and how. ``run`` has a folder of its own to write in."""

    name: str
    inputs: Callable[[], st.SearchStrategy[Any]]
    run: Callable[[Any, Path], bool]


@cache
def catalog() -> Catalog:
    return Catalog()


# --- words


def _spec_text() -> st.SearchStrategy[str]:
    pieces = st.sampled_from(
        [
            "rocl",
            "pgd",
            "(",
            ")",
            "=",
            ",",
            "'",
            '"',
            "\\",
            "8/255",
            "eps",
            "1e9",
            "none",
            " ",
            "\n",
        ]
    )
    built = st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=14).map("".join)
    often = st.sampled_from(
        ["-", "(", "[", "'a'", "not ", "+1", "\\", "1/", "9", ",", "=", "if 1else'a'"]
    )
    long = st.builds(
        lambda piece, count, end: f"pgd(eps='a'+{piece * count}{end})",
        *(often, st.integers(1, 4500), st.sampled_from(["", "1", ")", "'"])),
    )
    return st.one_of(built, any_text(), long, built.map(lambda inside: f"pgd(eps={inside})"))


def _specs(text: str, folder: Path) -> bool:
    try:
        found = (*parse_list(text), parse(text.split(",")[0]))
    except SpecError as error:
        return refused(error)
    for spec in found:
        assert parse(str(spec)) == spec
    return True


def _grid() -> st.SearchStrategy[tuple[str, str, str]]:
    radius = st.one_of(
        st.sampled_from(
            ["8/255", "0", "-1", "1/0", "1e99", "nan", "inf", "0.5", "9" * 101, "1e999"]
        ),
        st.text("0123456789/.e-+ ", max_size=12),
        st.text(max_size=6),
    )
    eps = st.lists(radius, max_size=4).map(",".join)
    return st.tuples(
        eps, st.sampled_from(["linf", "l2", "l1", "linf,l2"]) | any_text(), _spec_text()
    )


def _radii(typed: tuple[str, str, str], folder: Path) -> bool:
    eps, norms, attack = typed
    try:
        attacks = api.specs(attack) if "rocl" in attack else (Spec("pgd"),)
        planned = plan(
            Request(attacks=attacks, eps=api.words(eps), norms=api.words(norms)), catalog()
        )
    except SpecError as error:
        return refused(error)
    return all(key(evaluation) for evaluation in planned)


# --- stored answers


@cache
def _cell() -> Mapping[str, Any]:
    labels = Labels("plain", "shapes10", "shapes10", "resnet8", "linear", "pgd")
    cell = Cell(
        *(key(_EVALUATION), labels, "linf", "8/255", 0, 6, 3, ("random",), ("a note",), 1.0),
        *(_EVALUATION, "", "", "", "", _PROVENANCE, {"stuck": 1}),
    )
    return asdict(cell)


@cache
def _outcome() -> bytes:
    index = np.arange(6)
    after = np.where(index < 3, index, index + 1)
    arrays = {"label": index, "clean_prediction": index, "prediction": after, "fooled_by": index}
    numbers = dict.fromkeys(("size", "clean_confidence", "confidence"), np.zeros(6, np.float32))
    return _saved(index=index, **arrays, **numbers)


@cache
def _examples() -> bytes:
    pixels, label = np.zeros((2, 3, 4, 4), np.float32), np.zeros(2, np.int64)
    predictions = {"clean_prediction": label, "attacked_prediction": label}
    return _saved(
        classes=np.array(["a", "b"]), label=label, clean=pixels, attacked=pixels, **predictions
    )


def _saved(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _cell_files() -> st.SearchStrategy[tuple[Any, bytes, bytes]]:
    content = st.one_of(edited_json(_cell()), edited_json(_cell()), any_json())
    arrays = st.just(_outcome()) | edited_zip(_outcome()) | edited([_outcome()])
    shown = st.just(_examples()) | edited_zip(_examples()) | edited([_examples()])
    return st.tuples(content, arrays, shown)


def _cells(files: tuple[Any, bytes, bytes], folder: Path) -> bool:
    """The cell's hashes are right, as somebody who means harm would write them."""
    content, arrays, shown = files
    name = "plain"
    if isinstance(content, dict):
        content["outcome_sha256"] = hashlib.sha256(arrays).hexdigest()
        name = content["key"] = _key(Evaluation, content.get("evaluation"))
        content["sha256"] = _seal(content)
    for part in ("cells", "examples"):
        (folder / part).mkdir()
    (folder / "cells" / f"{name}.json").write_text(json.dumps(content))
    (folder / "cells" / f"{name}.npz").write_bytes(arrays)
    (folder / "examples" / f"{name}.npz").write_bytes(shown)
    store = Store(folder, folder / "zoo", lambda line: None)
    try:
        results = list(store.results())
    except StoreError as error:
        return refused(error)
    for result in results:
        store.examples(result.cell)
        table = pivot([result], scale=scale(result.cell.evaluation, catalog()))
        assert render.markdown(table)
        assert render.latex(table)
        assert render.comma_separated(table)
        assert frame([result]).to_csv()
        metrics = {name: catalog().metric(name) for name in catalog().names("metrics")}
        assert metric_frame([result], metrics).to_csv()
    return bool(results)


def _key(form: type, content: Any) -> str:
    """The name that a question's answer must have, where the question is one."""
    try:
        name = key(TypeAdapter(form).validate_json(json.dumps(content)))
    except (ValidationError, SpecError, ValueError):
        return "plain"
    return name if len(name) < 200 else "plain"  # no disk has files of longer names


@cache
def _card() -> Mapping[str, Any]:
    card = Card(
        *(key(_TRAINING), "plain", "shapes10", "resnet8(width=2)", _TRAINING, 8, 100),
        *(("clean",), "clean", (2.0, 1.0), 1.0, "", "", _PROVENANCE),
    )
    return asdict(card)


@cache
def _weights() -> bytes:
    encoder = catalog().build("encoders", "resnet8(width=2)")
    return safetensors.torch.save(encoder.state_dict())


def _card_files() -> st.SearchStrategy[tuple[Any, bytes]]:
    content = st.one_of(edited_json(_card()), edited_json(_card()), any_json())
    return st.tuples(content, st.just(_weights()) | edited([_weights()]))


def _cards(files: tuple[Any, bytes], folder: Path) -> bool:
    content, weights = files
    name = "plain"
    if isinstance(content, dict):
        content["weights_sha256"] = hashlib.sha256(weights).hexdigest()
        name = content["key"] = _key(Pretraining, content.get("pretraining"))
        content["sha256"] = _seal(content)
    place = folder / "zoo" / name
    (place / "probes").mkdir(parents=True)
    (place / "card.json").write_text(json.dumps(content))
    (place / "encoder.safetensors").write_bytes(weights)
    store = Store(folder, folder / "zoo", lambda line: None)
    try:
        cards = list(store.cards())
    except StoreError as error:
        return refused(error)
    for card in cards:
        probing = Probing(card.pretraining, "linear", "shapes10")
        (place / "probes" / f"{key(probing)}.safetensors").write_bytes(weights)
        store.probe(probing)
        found = store.encoder(card)
        if found is None:
            return False
        try:
            restore(catalog(), card, found)
        except SpecError as error:
            return refused(error)
    return bool(cards)


# --- unfinished work


@cache
def _state() -> bytes:
    tensors = {"a": torch.zeros(2, 3).t(), "b": torch.arange(4), "c": torch.tensor(1.0)}
    return _encoded(State(tensors, {"step": 3}), {"about": {"data": "x"}, "seconds": 1.0})


def _state_of_work(content: bytes, folder: Path) -> bool:
    name = f"00000001-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    (folder / name).write_bytes(content)
    return States(folder, {"data": "x"}, lambda line: None).load() is not None


# --- checkpoints


@cache
def _checkpoints() -> Mapping[str, bytes]:
    net = _encoder()
    state = {
        "conv1.weight": torch.zeros(4, 3, 3, 3),
        "layer1.0.conv1.weight": torch.zeros(4, 4, 3, 3),
    }
    entries = {
        "epoch": 3,
        "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        "fc": {"weight": torch.zeros(10, net.width)},
        "optimizer": {"state": {}, "lr": 0.1},
        "rng": torch.zeros(3, dtype=torch.uint8),
    }
    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save(entries, zipped)
    torch.save(entries, legacy, _use_new_zipfile_serialization=False)
    safe = safetensors.torch.save({**state, "fc.weight": entries["fc"]["weight"]})
    return {"zip": zipped.getvalue(), "legacy": legacy.getvalue(), "safe": safe}


@cache
def _encoder() -> Encoder:
    encoder = catalog().build("encoders", "resnet8(width=4)")
    assert isinstance(encoder, Encoder)
    return encoder


def _state_files() -> st.SearchStrategy[tuple[str, bytes]]:
    real = _checkpoints()
    content = st.one_of(
        edited_zip(real["zip"]), edited(list(real.values())), edited([real["safe"]]), st.binary()
    )
    return st.tuples(st.sampled_from(["a.pt", "a.safetensors"]), content)


def _states(file: tuple[str, bytes], folder: Path) -> bool:
    name, content = file
    (folder / name).write_bytes(content)
    try:
        checkpoint = read(folder / name)
    except SpecError as error:
        return refused(error)
    steps: list[Callable[[], object]] = [
        lambda: recognise(checkpoint, trunk(checkpoint.state)),
        lambda: choose_branch(
            recognise(checkpoint, trunk(checkpoint.state)), trunk(checkpoint.state), None
        ),
        lambda: normalisation(
            recognise(checkpoint, trunk(checkpoint.state)),
            checkpoint.state,
            trunk(checkpoint.state),
            None,
        ),
        lambda: own_head(checkpoint.state, trunk(checkpoint.state), _encoder().width, 10),
        lambda: translate(checkpoint.state, _encoder()),
    ]
    for step in steps:
        try:
            step()
        except SpecError:
            continue
    return True


# --- data sets


@cache
def _images() -> bytes:
    arrays = {}
    for part, count in (("train", 6), ("val", 2), ("test", 2)):
        arrays[f"{part}_images"] = np.zeros((count, 4, 4, 3), np.uint8)
        arrays[f"{part}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    return _saved(**arrays)


def _npz(content: bytes, folder: Path) -> bool:
    (folder / "a.npz").write_bytes(content)
    try:
        data = npz.read(folder / "a.npz")
    except DataError as error:
        return refused(error)
    return data.train.images.dtype == np.uint8


def _drawn(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(3072, dtype=np.uint8).reshape(32, 32, 3)).save(buffer, form)
    return buffer.getvalue()


@cache
def _parquets() -> list[bytes]:
    made = []
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": _drawn("PNG"), "path": f"{i}.png"} for i in range(3)]
    table = pa.table({"img": pa.array(rows, kind), "label": pa.array([0, 1, 2], pa.int64())})
    for compression in ("none", "snappy", "gzip", "zstd"):
        for dictionary in (True, False):
            buffer = io.BytesIO()
            pq.write_table(table, buffer, compression=compression, use_dictionary=dictionary)
            made.append(buffer.getvalue())
    return made


def _parquet(content: bytes, folder: Path) -> bool:
    (folder / "a.parquet").write_bytes(content)
    try:
        split = parquet.read(CIFAR10, [folder / "a.parquet"], lambda items, label: items, "test")
    except DataError as error:
        return refused(error)
    return len(split) > 0


def _pickles() -> st.SearchStrategy[bytes]:
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1], "filenames": ["a", "b"]}
    real = [pickle.dumps(batch, protocol) for protocol in (2, 3, 4, 5)]
    small = [pickle.dumps({"data": np.zeros((1, 4), np.uint8)}, protocol) for protocol in (2, 4)]
    opcodes = st.lists(
        st.sampled_from(
            [bytes([code]) for code in b"(.0123)}]{eubtaRcsQ\x85\x86\x87\x88\x89\x93\x94"]
        )
        | st.sampled_from([b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cos\nsystem\n", b"K\x01"])
        | st.sampled_from(
            [b"cnumpy.core.multiarray\n_reconstruct\n", b"U\x02u1", b"h\x00", b"q\x00"]
        ),
        max_size=20,
    ).map(lambda codes: b"\x80\x02" + b"".join(codes) + b".")
    return st.one_of(edited(small), edited(real), opcodes, st.binary())


def _pickle(content: bytes, folder: Path) -> bool:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    cifar = replace(CIFAR10, train=(("a", digest),), test=(("a", digest),))
    (folder / "a").write_bytes(content)
    try:
        train, _ = batches.read_folder(cifar, folder)
    except DataError as error:
        return refused(error)
    return train.images.dtype == np.uint8


def _pictures() -> st.SearchStrategy[bytes]:
    forms = ("PNG", "WEBP", "JPEG", "BMP", "GIF", "TIFF", "PPM")
    return st.one_of(edited([_drawn(form) for form in forms]), st.binary())


def _picture(content: bytes, folder: Path) -> bool:
    try:
        image = decode(content, "here")
    except DataError as error:
        return refused(error)
    assert fitted(image, 8).size == (8, 8)
    return True


TARGETS = {
    target.name: target
    for target in (
        Target("specs", _spec_text, _specs),
        Target("eps-lists", _grid, _radii),
        Target("cells", _cell_files, _cells),
        Target("cards", _card_files, _cards),
        Target("states", lambda: edited([_state()]), _state_of_work),
        Target("state-dicts", _state_files, _states),
        Target("npz", lambda: edited_zip(_images()) | edited([_images()]), _npz),
        Target("parquet", lambda: edited(_parquets()), _parquet),
        Target("pickles", _pickles, _pickle),
        Target("images", _pictures, _picture),
    )
}


def attempt(target: Target, given: Any) -> bool:
    """Whether the input was taken; raises what crashed."""
    with TemporaryDirectory(prefix="robench-fuzz-", dir=_fast()) as folder:
        return target.run(given, Path(folder))


def refused(error: Exception) -> bool:
    """False, where the error is told in a line that can be read."""
    if not 0 < len(str(error)) < 3 * 4096:
        raise AssertionError(f"a message of {len(str(error))} characters")
    return False


@cache
def _fast() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
