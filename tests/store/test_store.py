"""Disk maps questions to answers: whole ones are found, damaged ones are set aside, none lost."""

import hashlib
import io
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import files, finished

from robench.files import atomic_write
from robench.grid.questions import key
from robench.grid.records import SCHEMA, Identity, Result
from robench.store.formats import sealed
from robench.store.store import PUBLISHED, Stale, Store, StoreError, published


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


def rewrite(path: Path, **fields: object) -> None:
    """Change fields of a JSON file as robench would have written them."""
    path.write_bytes(sealed(json.dumps({**json.loads(path.read_bytes()), **fields}).encode()))


def cell_path(store: Store, result: Result) -> Path:
    return store.out / "cells" / f"{result.cell.key}.json"


def test_an_answer_is_found_by_its_question(store: Store, first: Result) -> None:
    found = store.read(first.cell.evaluation)
    assert isinstance(found, Result)
    assert found.cell == first.cell
    assert (found.outcome.prediction == first.outcome.prediction).all()
    assert key(first.cell.evaluation) == first.cell.key


def test_a_saved_answer_comes_back_the_same(store: Store, first: Result) -> None:
    before = files(store.out / "cells")
    assert first.pictures is not None
    cell = replace(first.cell, outcome_sha256="")
    saved = store.save_result(cell, first.outcome, first.pictures)
    assert saved.cell == first.cell
    after = files(store.out / "cells")
    assert {name: content for name, (content, _) in after.items()} == {
        name: content for name, (content, _) in before.items()
    }


def test_the_json_of_an_answer_is_written_last(
    store: Store, first: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    @contextmanager
    def noted(path: Path) -> Iterator[Any]:
        with atomic_write(path) as file:
            yield file
        written.append(path.suffix)

    for module in ("robench.files", "robench.store.store"):
        monkeypatch.setattr(f"{module}.atomic_write", noted)
    card = next(store.cards())
    weights = store.encoder(card)
    assert weights is not None
    store.save_encoder(card, weights)
    store.save_result(first.cell, first.outcome, first.pictures)
    assert written == [".safetensors", ".json", ".npz", ".json"]


def test_what_was_never_answered_is_none(store: Store, first: Result, tmp_path: Path) -> None:
    empty = Store(tmp_path / "nowhere", tmp_path / "nozoo", pytest.fail)
    assert empty.read(first.cell.evaluation) is None
    assert empty.read(first.cell.evaluation.probing.pretraining) is None
    assert empty.probe(first.cell.evaluation.probing) is None
    assert list(empty.results()) == list(empty.cards()) == []
    assert not (tmp_path / "nowhere").exists()


def cuts(data: bytes) -> Iterator[bytes]:
    for share in (0, 0.1, 0.5, 0.9):
        yield data[: int(share * len(data))]
    yield data[:-1]
    yield b"[]"
    yield b"\xff\xfe not json"
    yield b"[" * 100_000


def test_a_cell_cut_short_is_set_aside(store: Store, first: Result, said: list[str]) -> None:
    path = cell_path(store, first)
    whole = path.read_bytes()
    for cut in cuts(whole):
        path.write_bytes(cut)
        assert store.read(first.cell.evaluation) is None
        assert path.with_name(f"{path.name}.damaged").read_bytes() == cut
        assert not path.exists()
        assert len(said) == 1
        assert str(path) in said[0]
        assert "set aside as" in said[0]
        said.clear()
    assert store.read(first.cell.evaluation) is None  # missing now, and not damaged
    assert said == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("limit", "all"), ("outcome_sha256", "0"), ("schema", "one"), ("evaluation", {})],
)
def test_a_cell_that_contradicts_itself_is_set_aside(
    store: Store, first: Result, said: list[str], field: str, value: object
) -> None:
    path = cell_path(store, first)
    assert json.loads(path.read_bytes())[field] != value
    rewrite(path, **{field: value})
    assert store.read(first.cell.evaluation) is None
    assert len(said) == 1


ALTERED = {
    "evaluation": {"batch": 7},
    "identity": {"data": "0"},
    "limit": 17,
    "notes": ["randomized"],
    "counts": {"zero-gradients": 1},
    "seconds": 1.0,
    "provenance": {"device": "cuda"},
    "sha256": "0",
    "new": 1,
}


@pytest.mark.parametrize("field", ALTERED)
def test_a_field_that_was_altered_is_noticed(
    store: Store, first: Result, said: list[str], field: str
) -> None:
    path = cell_path(store, first)
    content, value = json.loads(path.read_bytes()), ALTERED[field]
    if isinstance(value, dict):
        value = {**content[field], **value}
    assert content.get(field) != value
    path.write_text(json.dumps({**content, field: value}))
    assert store.read(first.cell.evaluation) is None
    assert "its fields differ from what was written" in said[0]


def test_a_field_that_was_taken_away_is_noticed(store: Store, said: list[str]) -> None:
    card = next(store.cards())
    path = store.zoo / card.key / "card.json"
    whole = json.loads(path.read_bytes())
    for field in whole:
        path.write_text(json.dumps({name: whole[name] for name in whole if name != field}))
        assert list(store.cards()) == [], field
    path.write_text(json.dumps(whole))  # the same fields in another form are no damage
    assert list(store.cards()) == [card]
    assert len(said) == len(whole)


def test_no_flipped_bit_of_a_cell_goes_unnoticed(
    store: Store, first: Result, said: list[str]
) -> None:
    """It takes some seconds: there are some thousands to flip."""
    reader = Store(store.out, store.zoo, said.append)  # sets nothing aside
    path = cell_path(store, first)
    whole = path.read_bytes()
    newer = 0
    for bit in range(0, 8 * len(whole), 5):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            found = reader.read(first.cell.evaluation)
        except StoreError:  # the schema's number, flipped to one of the future
            newer += 1
            continue
        # Space between fields may become other space; everything else is told of.
        assert found is None or json.loads(data) == json.loads(whole), bit
    assert newer <= 3
    assert len(said) == 1  # one line a file is enough


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_cell_cut_short_at_any_byte_is_noticed(
    store: Store, first: Result, said: list[str], suffix: str
) -> None:
    reader = Store(store.out, store.zoo, said.append)
    path = cell_path(store, first).with_suffix(suffix)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert reader.read(first.cell.evaluation) is None, length
    assert len(said) == 1
    path.write_bytes(whole)
    assert reader.read(first.cell.evaluation) is not None


def test_a_cell_under_another_s_name_is_set_aside(store: Store, said: list[str]) -> None:
    one, other = (cell_path(store, result) for result in store.results())
    for suffix in (".json", ".npz"):
        one.with_suffix(suffix).write_bytes(other.with_suffix(suffix).read_bytes())
    assert len(list(store.results())) == 1
    assert "belongs to another name" in said[0]


def test_flipped_outcomes_are_set_aside_with_their_cell(
    store: Store, first: Result, said: list[str]
) -> None:
    path = cell_path(store, first).with_suffix(".npz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert store.read(first.cell.evaluation) is None
    assert "its .npz differs from what was written" in said[0]
    assert path.with_name(f"{path.name}.damaged").read_bytes() == bytes(data)
    assert not path.exists()


def test_missing_outcomes_are_damage(store: Store, first: Result, said: list[str]) -> None:
    cell_path(store, first).with_suffix(".npz").unlink()
    assert store.read(first.cell.evaluation) is None
    assert "its .npz is missing" in said[0]


class Trap:
    """Writes a file if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_ever_unpickled(
    store: Store, first: Result, said: list[str], tmp_path: Path
) -> None:
    sprung = tmp_path / "sprung"
    trap = np.empty((), dtype=object)
    trap[()] = Trap(sprung)
    archive, array = io.BytesIO(), io.BytesIO()
    np.savez(archive, **dict.fromkeys(vars(first.outcome), trap))
    np.save(array, trap, allow_pickle=True)
    path = cell_path(store, first)
    for payload in (archive.getvalue(), array.getvalue(), pickle.dumps(Trap(sprung)), b"PK\3\4"):
        sha256 = hashlib.sha256(payload).hexdigest()  # as somebody who means it would write
        rewrite(path, outcome_sha256=sha256)
        path.with_suffix(".npz").write_bytes(payload)
        assert store.read(first.cell.evaluation) is None
        assert "its .npz cannot be read" in said[-1]
        assert not sprung.exists()
        path.with_name(f"{path.name}.damaged").rename(path)
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()  # the trap works


def test_outcomes_about_other_images_are_damage(
    store: Store, first: Result, said: list[str]
) -> None:
    path = cell_path(store, first)
    arrays = {n: a[:3] if n == "size" else a for n, a in vars(first.outcome).items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path.with_suffix(".npz").write_bytes(buffer.getvalue())
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    rewrite(path, outcome_sha256=sha256)
    assert store.read(first.cell.evaluation) is None
    assert "holds no per-image outcomes" in said[0]


def test_only_a_store_that_writes_sets_aside(store: Store, first: Result, said: list[str]) -> None:
    cell_path(store, first).write_bytes(b"{")
    before = files(store.out.parent)
    reader = Store(store.out, store.zoo, said.append)
    assert reader.read(first.cell.evaluation) is None
    assert len(list(reader.results())) == 1
    assert "and left out" in said[0]
    assert files(store.out.parent) == before


# --- a newer robench


def test_a_newer_folder_is_refused_before_anything(store: Store, first: Result) -> None:
    path = cell_path(store, first)
    path.write_text(json.dumps({"schema": SCHEMA + 1, "all": "is different"}))
    before = files(store.out)
    for ask in (
        store.prepare,
        lambda: store.read(first.cell.evaluation),
        lambda: list(store.results()),
    ):
        with pytest.raises(StoreError, match=rf"newer robench \(schema {SCHEMA + 1}.*--out"):
            ask()
    assert files(store.out) == before


def test_a_newer_card_is_refused(store: Store, first: Result) -> None:
    training = first.cell.evaluation.probing.pretraining
    path = store.zoo / key(training) / "card.json"
    path.write_text(json.dumps({"schema": SCHEMA + 1}))
    with pytest.raises(StoreError, match="newer robench"):
        store.card(training)
    assert path.exists()


# --- older ones


def test_older_answers_are_left_alone_with_a_line(store: Store, first: Result) -> None:
    path = cell_path(store, first)
    path.write_text(json.dumps({"schema": SCHEMA - 1, "all": "is different"}))
    before = files(store.out)
    said: list[str] = []
    reader = Store(store.out, store.zoo, said.append)
    reader.prepare()
    assert len(list(reader.results())) == 1
    assert said == [f"{store.out} holds answers of an older robench, which are not read"]
    assert files(store.out) == before


# --- the zoo


def test_a_damaged_card_is_set_aside(store: Store, first: Result, said: list[str]) -> None:
    training = first.cell.evaluation.probing.pretraining
    path = store.zoo / key(training) / "card.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert store.card(training) is None
    assert path.with_name("card.json.damaged").exists()
    path.write_bytes(whole)
    rewrite(path, question={**json.loads(whole)["question"], "seed": 1})
    assert store.card(training) is None
    assert "belongs to another name" in said[1]


@pytest.mark.parametrize("where", [3, 40, -5])
def test_flipped_weights_are_set_aside(
    store: Store, first: Result, said: list[str], where: int
) -> None:
    training = first.cell.evaluation.probing.pretraining
    card = store.card(training)
    assert card is not None
    assert store.encoder(card) is not None
    for path, read in (
        (store.zoo / card.key / "encoder.safetensors", lambda: store.encoder(card)),
        (
            next((store.zoo / card.key / "probes").glob("*.safetensors")),
            lambda: store.probe(first.cell.evaluation.probing),
        ),
    ):
        assert read() is not None
        data = bytearray(path.read_bytes())
        data[where] ^= 4
        path.write_bytes(data)
        assert read() is None
        assert path.with_name(f"{path.name}.damaged").read_bytes() == bytes(data)
        path.write_bytes(b"")
        assert read() is None
    assert len(said) == 4


def test_weights_come_back_bit_by_bit(store: Store, first: Result, tmp_path: Path) -> None:
    card = store.card(first.cell.evaluation.probing.pretraining)
    assert card is not None
    weights = store.encoder(card)
    assert weights is not None
    other = Store(tmp_path / "out2", tmp_path / "zoo2", pytest.fail)
    again = other.save_encoder(card, weights)
    assert again == card
    loaded = other.encoder(again)
    assert loaded is not None
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


# --- folders


def test_a_published_folder_is_read_and_never_written(
    store: Store, first: Result, said: list[str], tmp_path: Path
) -> None:
    assert not published(store.out)
    (store.out / PUBLISHED).write_text("{}")
    assert published(store.out)
    damaged = [cell_path(store, result) for result in store.results()][1]
    damaged.write_bytes(b"{")
    before = files(store.out)
    shelved = Store(tmp_path / "own", store.zoo, said.append, shelf=store.out)
    shelved.prepare()
    assert [result.cell.key for result in shelved.results()] == [first.cell.key]
    assert len(list(shelved.results())) == 1
    assert len(said) == 1
    assert "and left out" in said[0]
    shelved.save_result(replace(first.cell, outcome_sha256=""), first.outcome, None)
    assert files(store.out) == before
    assert len(list(shelved.results())) == 1


@pytest.mark.parametrize("which", ["out", "zoo"])
def test_an_unwritable_folder_is_told_of(tmp_path: Path, which: str) -> None:
    (tmp_path / "file").write_text("in the way")
    places = {"out": tmp_path / "out", "zoo": tmp_path / "zoo", which: tmp_path / "file" / "x"}
    with pytest.raises(StoreError, match=r"cannot write to .*choose another folder"):
        Store(places["out"], places["zoo"], pytest.fail).prepare()


def test_a_failed_write_leaves_nothing_behind(
    store: Store, first: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    before = files(store.out)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="No space left on device"):
        store.save_result(replace(first.cell, outcome_sha256=""), first.outcome, None)
    assert files(store.out) == before


def test_the_files_of_a_cell_are_opened_once(
    store: Store, first: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    own = Path.open

    def counted(path: Path, *given: Any, **named: Any) -> Any:
        opened.append(path.name)
        return own(path, *given, **named)

    monkeypatch.setattr(Path, "open", counted)
    again = Store(store.out, store.zoo, pytest.fail)
    again.prepare()
    results = [again.read(result.cell.evaluation) for result in again.results()]
    assert len(results) == len(list(again.results())) == 2
    cells = [name for name in opened if name.endswith((".json", ".npz"))]
    assert len(cells) == len(set(cells)) == 4
    monkeypatch.undo()
    cell_path(again, first).write_bytes(b"{")  # but a file that changed is read again
    again = Store(store.out, store.zoo, print)
    assert again.read(first.cell.evaluation) is None


def test_an_answer_of_another_identity_is_stale(store: Store, first: Result) -> None:
    evaluation, own = first.cell.evaluation, first.cell.identity
    assert isinstance(store.read(evaluation, own), Result)
    code = tuple((name, "0") for name, _ in own.code[:1])
    others = {
        f"the code of {own.code[0][0]}": replace(own, code=code),
        "the data": replace(own, data="0"),
        "the weights": replace(own, parents=("0",)),
    }
    for name, other in others.items():
        assert store.read(evaluation, other) == Stale((name,))
    unknown = Identity((), "", ("",))
    assert isinstance(store.read(evaluation, unknown), Result)
    probing = evaluation.probing
    assert store.read(probing, replace(unknown, parents=("0",))) == Stale(("the weights",))
    card = store.card(probing.source)
    assert card is not None
    assert store.read(probing.source, replace(card.identity, data="0")) == Stale(("the data",))
