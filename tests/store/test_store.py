"""Disk maps questions to answers: whole ones are found, damaged ones are left out."""

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import files, finished

from robench.files import atomic_write
from robench.grid.questions import Evaluation
from robench.grid.records import SCHEMA, Card, Result
from robench.store.formats import sealed
from robench.store.store import PUBLISHED, Store, StoreError, published


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> Store:
    """A store of two finished cells and their encoder, open for writing."""
    finished(tmp_path)
    store = Store(tmp_path / "out", tmp_path / "zoo", said.append)
    store.prepare()
    return store


@pytest.fixture
def first(store: Store) -> Result:
    return next(store.results())


@pytest.fixture
def asked(first: Result) -> Evaluation:
    return first.cell.evaluation


@pytest.fixture
def card(store: Store) -> Card:
    return next(store.cards())


@pytest.fixture
def path(store: Store, first: Result) -> Path:
    """The first cell's file."""
    return store.out / "cells" / f"{first.cell.key}.json"


def rewrite(path: Path, **fields: object) -> None:
    """Change fields of a JSON file as robench would have written them."""
    path.write_bytes(sealed(json.dumps({**json.loads(path.read_bytes()), **fields}).encode()))


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_saved_answer_comes_back_the_same(store: Store, first: Result, asked: Evaluation) -> None:
    found = store.result(asked)
    assert found is not None
    assert found.cell == first.cell
    before = {name: content for name, (content, _) in files(store.out / "cells").items()}
    assert first.pictures is not None
    cell = replace(first.cell, outcome_sha256="")
    assert store.save_result(cell, first.outcome, first.pictures).cell == first.cell
    assert {name: content for name, (content, _) in files(store.out / "cells").items()} == before


def test_weights_come_back_bit_by_bit(store: Store, card: Card, tmp_path: Path) -> None:
    weights = store.encoder(card)
    assert weights is not None
    other = Store(tmp_path / "out2", tmp_path / "zoo2", pytest.fail)
    assert other.save_encoder(card, weights) == card
    loaded = other.encoder(card)
    assert loaded is not None
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_the_json_of_an_answer_is_written_last(
    store: Store, first: Result, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    @contextmanager
    def noted(path: Path) -> Iterator[Any]:
        with atomic_write(path) as file:
            yield file
        written.append(path.suffix)

    for module in ("robench.files", "robench.store.store"):
        monkeypatch.setattr(f"{module}.atomic_write", noted)
    store.save_encoder(card, store.encoder(card) or {})
    store.save_result(first.cell, first.outcome, first.pictures)
    assert written == [".safetensors", ".json", ".npz", ".json"]


def test_what_was_never_answered_is_none(asked: Evaluation, tmp_path: Path) -> None:
    empty = Store(tmp_path / "nowhere", tmp_path / "nozoo", pytest.fail)
    probing = asked.probing
    found = empty.result(asked), empty.card(probing.source), empty.probe(probing)
    assert found == (None, None, None)
    assert list(empty.results()) == list(empty.cards()) == []
    assert not (tmp_path / "nowhere").exists()


# --- damage


@pytest.mark.parametrize(
    "cut",
    [
        *(lambda data, share=share: data[: int(share * len(data))] for share in (0, 0.1, 0.9)),
        lambda data: data[:-1],
        lambda data: b"[]",
        lambda data: b"\xff\xfe not json",
        lambda data: b"[" * 100_000,
    ],
)
def test_a_damaged_cell_is_left_out_with_one_line(
    store: Store, asked: Evaluation, path: Path, said: list[str], cut: Callable[[bytes], bytes]
) -> None:
    path.write_bytes(cut(path.read_bytes()))
    before = files(store.out.parent)
    assert store.result(asked) is store.result(asked) is None
    assert len(list(store.results())) == 1
    assert len(said) == 1
    assert said[0].startswith(f"{path} is damaged (")
    assert files(store.out.parent) == before


@pytest.mark.parametrize("altered", [{"limit": 17}, {"notes": ["randomized"]}, {"new": 1}])
def test_a_field_that_was_altered_is_noticed(
    store: Store, asked: Evaluation, path: Path, said: list[str], altered: dict[str, object]
) -> None:
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **altered}))
    assert store.result(asked) is None
    assert "its fields differ from what was written" in said[0]


def test_no_flipped_bit_of_a_cell_goes_unnoticed(
    store: Store, asked: Evaluation, path: Path
) -> None:
    """It takes some seconds: there are some thousands to flip."""
    whole, newer = path.read_bytes(), 0
    for bit in range(0, 8 * len(whole), 5):
        data = flipped(whole, bit)
        path.write_bytes(data)
        try:
            found = store.result(asked)
        except StoreError:  # the schema's number, flipped to one of the future
            newer += 1
            continue
        # Space between fields may become other space; everything else is noticed.
        assert found is None or json.loads(data) == json.loads(whole), bit
    assert newer <= 3


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_cell_cut_short_at_any_byte_is_noticed(
    store: Store, asked: Evaluation, path: Path, suffix: str
) -> None:
    path = path.with_suffix(suffix)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert store.result(asked) is None, length
    path.write_bytes(whole)
    assert store.result(asked) is not None


def test_content_under_another_s_name_is_damage(store: Store, card: Card, said: list[str]) -> None:
    one, other = (store.out / "cells" / result.cell.key for result in store.results())
    for suffix in (".json", ".npz"):
        Path(f"{one}{suffix}").write_bytes(Path(f"{other}{suffix}").read_bytes())
    assert len(list(store.results())) == 1
    path = store.zoo / card.key / "card.json"
    rewrite(path, question={**json.loads(path.read_bytes())["question"], "seed": 1})
    assert store.card(card.question) is None
    assert ["belongs to another name" in line for line in said] == [True, True]


@pytest.mark.parametrize("lost", [True, False])
def test_damaged_outcomes_damage_their_cell(
    store: Store, asked: Evaluation, path: Path, said: list[str], lost: bool
) -> None:
    arrays = path.with_suffix(".npz")
    data = flipped(arrays.read_bytes(), 4 * arrays.stat().st_size)
    arrays.unlink() if lost else arrays.write_bytes(data)
    assert store.result(asked) is None
    assert f"its .npz {'is missing' if lost else 'differs from what was written'}" in said[0]


class Trap:
    """Writes a file if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def forge(path: Path, arrays: bytes) -> None:
    """Replace a cell's arrays as somebody who means it would."""
    path.with_suffix(".npz").write_bytes(arrays)
    rewrite(path, outcome_sha256=hashlib.sha256(arrays).hexdigest())


def test_nothing_is_ever_unpickled(
    store: Store, first: Result, asked: Evaluation, path: Path, tmp_path: Path
) -> None:
    sprung = tmp_path / "sprung"
    trap = np.empty((), dtype=object)
    trap[()] = Trap(sprung)
    archive, array = io.BytesIO(), io.BytesIO()
    np.savez(archive, **dict.fromkeys(vars(first.outcome), trap))
    np.save(array, trap, allow_pickle=True)
    for payload in (archive.getvalue(), array.getvalue(), pickle.dumps(Trap(sprung)), b"PK\3\4"):
        forge(path, payload)
        assert store.result(asked) is None
        assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()  # the trap works


@pytest.mark.parametrize("change", [lambda a: a[:3], lambda a: a.astype("S"), lambda a: a[None]])
def test_outcomes_of_another_form_are_damage(
    store: Store, first: Result, asked: Evaluation, path: Path, said: list[str], change: Any
) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{n: change(a) if n == "size" else a for n, a in vars(first.outcome).items()})
    forge(path, buffer.getvalue())
    assert store.result(asked) is None
    assert "is damaged (" in said[0]


@pytest.mark.parametrize("bit", [24, 323, -40])
@pytest.mark.parametrize("what", ["encoder", "probe"])
def test_flipped_weights_are_damage(
    store: Store, asked: Evaluation, card: Card, what: str, bit: int
) -> None:
    (path,) = (store.zoo / card.key).rglob("probes/*" if what == "probe" else "encoder.*")

    def read() -> object:
        return store.probe(asked.probing) if what == "probe" else store.encoder(card)

    whole = path.read_bytes()
    assert read() is not None
    for data in (flipped(whole, bit % (8 * len(whole))), b""):
        path.write_bytes(data)
        assert read() is None


# --- other versions


def test_a_newer_folder_is_refused_before_anything(
    store: Store, asked: Evaluation, card: Card, path: Path
) -> None:
    other = store.zoo / card.key / "card.json"
    for file in (path, other):
        file.write_text(json.dumps({"schema": SCHEMA + 1, "all": "is different"}))
    before = files(store.out.parent)
    ways: list[Callable[[], object]] = [store.prepare, lambda: store.result(asked)]
    for ask in (*ways, lambda: list(store.results()), lambda: store.card(card.question)):
        with pytest.raises(StoreError, match=rf"newer robench \(schema {SCHEMA + 1}.*--out"):
            ask()
    assert files(store.out.parent) == before


def test_older_answers_are_left_alone_with_a_line(
    store: Store, path: Path, said: list[str]
) -> None:
    path.write_text(json.dumps({"schema": SCHEMA - 1, "all": "is different"}))
    before = files(store.out)
    store.prepare()
    assert len(list(store.results())) == 1
    assert said == [f"{store.out} holds answers of an older robench, which are not read"]
    assert files(store.out) == before


# --- folders


def test_a_published_folder_is_read_and_never_written(
    store: Store, first: Result, said: list[str], tmp_path: Path
) -> None:
    assert not published(store.out)
    (store.out / PUBLISHED).write_text("{}")
    assert published(store.out)
    second = [result.cell.key for result in store.results()][1]
    (store.out / "cells" / f"{second}.json").write_bytes(b"{")
    before = files(store.out)
    shelved = Store(tmp_path / "own", store.zoo, said.append, shelf=store.out)
    shelved.prepare()
    assert [result.cell.key for result in shelved.results()] == [first.cell.key]
    assert [line.endswith(" and left out") for line in said] == [True]
    shelved.save_result(replace(first.cell, outcome_sha256=""), first.outcome, None)
    assert files(store.out) == before
    assert len(list(shelved.results())) == 1


def test_the_files_of_a_cell_are_opened_once(
    store: Store, asked: Evaluation, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Store(store.out, store.zoo, pytest.fail)
    opened: list[str] = []
    own = Path.open

    def counted(path: Path, *given: Any, **named: Any) -> Any:
        opened.append(path.name)
        return own(path, *given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", counted)
        found = [reader.result(result.cell.evaluation) for result in reader.results()]
        assert len(found) == len(list(reader.results())) == 2
    cells = [name for name in opened if name.endswith((".json", ".npz"))]
    assert len(cells) == len(set(cells)) == 4
    path.unlink()  # but a file that changed is read again
    assert reader.result(asked) is None


def test_example_images_are_read_when_they_are_asked_for(
    store: Store, first: Result, asked: Evaluation
) -> None:
    found = store.result(asked)
    assert found is not None
    kept = found.pictures
    assert kept is not None
    assert kept.clean.shape == kept.attacked.shape
    assert found.pictures is not kept
    for path in (store.out / "cells").glob("*.npz"):
        path.unlink()
    assert found.pictures is None
