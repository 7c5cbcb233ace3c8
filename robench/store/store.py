"""Disk maps questions to answers: encoders and probes in a zoo, cells in a results folder.

```
ZOO/<pretraining>/card.json, encoder.safetensors
ZOO/<pretraining>/probes/<probing>.safetensors
ZOO/<pretraining>/training/                      how far a training is, until its encoder is there
ZOO/<pretraining>/fitting/<probing>/             how far a fit is, until its probe is there
OUT/cells/<evaluation>.json, <evaluation>.npz    one answer, and what happened to each image
OUT/examples/<evaluation>.npz                    a few attacked images to look at
OUT/unfinished/<evaluation>/                     how far an attack is, until its cell is there
```

What a process computes is locked in ``ZOO/.locks`` or ``OUT/.locks``.

Every file is written under another name first and then renamed, the JSON last, so that an answer is
there whole or not at all. Zoos and results may be somebody else's, so no file is ever unpickled,
none is read beyond the limits below, and names are one printable line.
"""

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from robench.contracts import Outcome
from robench.files import atomic_write, read_limited, read_npz
from robench.grid.questions import Evaluation, Pretraining, Probing, Question, Source, key
from robench.grid.records import SCHEMA, Card, Cell, Examples, Result
from robench.grid.spec import SpecError
from robench.store.checkpoints import SafePoint, States
from robench.store.locks import lock

Answer = TypeVar("Answer", Card, Cell)
Whole = TypeVar("Whole")
_CARD, _CELL = TypeAdapter(Card), TypeAdapter(Cell)
_MOST_JSON, _MOST_ARRAYS, _MOST_WEIGHTS = 2**24, 2**28, 2**33  # bytes; far above what is written
_LONGEST = 4096  # characters of a name
PUBLISHED = "published.json"
"""A results folder that holds this file is published: only a run that names it as its ``--out``
adds to it.
"""


class StoreError(Exception):
    """A folder cannot be written, or was written by a newer version; the message says which."""


class _OlderError(Exception):
    """A file of an older schema, which is not read."""


class _DamagedError(Exception):
    """A file is not what was written; the message says how it shows."""


class Store:
    """The answers in ``out`` and ``zoo``. ``warn`` is told, in a line, of each damaged one.

    Where ``shelf`` is given, a published results folder, its cells are read too, but nothing is
    written there. Nothing is written anywhere before `prepare`.
    """

    def __init__(
        self, out: Path, zoo: Path, warn: Callable[[str], None], shelf: Path | None = None
    ) -> None:
        self.out, self.zoo, self._warn = out, zoo, warn
        self._folders = [out] if shelf is None else [out, shelf]
        self._writing = False
        self._told: set[Path] = set()

    def prepare(self) -> None:
        """Make the folders, and see that they can be written and read.

        Raises StoreError where one cannot be written, or holds answers of a newer robench.
        """
        for folder in (self.out / "cells", self.zoo):
            _writable(folder)
        for folder in self._folders:
            for path in _cells(folder):
                with suppress(_DamagedError, _OlderError):
                    _content(path)
        self._writing = True
        self._sweep()

    # --- cells

    def result(self, evaluation: Evaluation) -> Result | None:
        """The stored answer, or None; a damaged one is set aside and counts as None."""
        name = f"{key(evaluation)}.json"
        found = (self._result(folder / "cells" / name) for folder in self._folders)
        return next((result for result in found if result is not None), None)

    def results(self) -> Iterator[Result]:
        """Every stored answer that is whole, by name."""
        names = {path.name for folder in self._folders for path in _cells(folder)}
        for name in sorted(names):
            found = (self._result(folder / "cells" / name) for folder in self._folders)
            result = next((result for result in found if result is not None), None)
            if result is not None:
                yield result

    def _result(self, path: Path) -> Result | None:
        return self._whole(path, _read_result, path.with_suffix(".npz"))

    def save_result(self, cell: Cell, outcome: Outcome, examples: Examples | None) -> Result:
        """Keep a cell whose ``outcome_sha256`` is still empty; returns it with the hash."""
        cells = self.out / "cells"
        arrays = _npz(asdict(outcome))
        cell = Cell(**{**_shallow(cell), "outcome_sha256": hashlib.sha256(arrays).hexdigest()})
        if examples is not None:
            _write(self.out / "examples" / f"{cell.key}.npz", _npz(_examples(examples)))
        _write(cells / f"{cell.key}.npz", arrays)
        _write(cells / f"{cell.key}.json", _sealed(_CELL.dump_json(cell)))
        unfinished = self.out / "unfinished"
        shutil.rmtree(unfinished / cell.key, ignore_errors=True)
        with suppress(OSError):  # others' work is there
            unfinished.rmdir()
        return Result(cell, outcome)

    def examples(self, cell: Cell) -> Examples | None:
        """The cell's images to look at, where they were kept."""
        paths = [folder / "examples" / f"{cell.key}.npz" for folder in self._folders]
        for path in paths:
            examples = self._whole(path, lambda path: _read_examples(path, cell))
            if examples is not None:
                return examples
        return None

    # --- encoders

    def card(self, source: Source) -> Card | None:
        """What is on record about an encoder, or None."""
        return self.card_by_key(key(source))

    def card_by_key(self, name: str) -> Card | None:
        """The card of the encoder with that key, or None."""
        return self._whole(self.zoo / name / "card.json", _read_card)

    def cards(self) -> Iterator[Card]:
        """Every card of the zoo, by name."""
        for path in sorted(self.zoo.glob("*/card.json")):
            card = self.card_by_key(path.parent.name)
            if card is not None:
                yield card

    def encoder(self, card: Card) -> dict[str, Tensor] | None:
        """The weights of a card's encoder, or None where they are missing or damaged."""
        path = self.zoo / card.key / "encoder.safetensors"
        return self._whole(path, lambda path: _read_encoder(path, card.weights_sha256))

    def save_encoder(self, card: Card, weights: dict[str, Tensor]) -> Card:
        """Keep an encoder whose card's ``weights_sha256`` is still empty; the card with it."""
        folder = self.zoo / card.key
        data = safetensors.torch.save(weights)
        card = Card(**{**_shallow(card), "weights_sha256": hashlib.sha256(data).hexdigest()})
        with suppress(OSError):  # of damaged weights: whoever reads now must not judge these by it
            (folder / "card.json").unlink()
        _write(folder / "encoder.safetensors", data)
        _write(folder / "card.json", _sealed(_CARD.dump_json(card)))
        shutil.rmtree(folder / "training", ignore_errors=True)
        return card

    def probe(self, probing: Probing) -> dict[str, Tensor] | None:
        """The weights of a fitted probe, or None."""
        return self._whole(self._probe(probing), _read_probe)

    def drop_probe(self, probing: Probing, why: str) -> None:
        """Set aside a probe that turned out not to fit."""
        self._set_aside(why, self._probe(probing))

    def save_probe(self, probing: Probing, weights: dict[str, Tensor]) -> None:
        """Keep a probe's weights."""
        data = safetensors.torch.save(weights, {"sha256": _digest(weights)})
        _write(self._probe(probing), data)
        fitting = self._fitting(probing)
        shutil.rmtree(fitting, ignore_errors=True)
        with suppress(OSError):  # others' work is there
            fitting.parent.rmdir()

    def _fitting(self, probing: Probing) -> Path:
        return self.zoo / key(probing.source) / "fitting" / key(probing)

    def _probe(self, probing: Probing) -> Path:
        return self.zoo / key(probing.source) / "probes" / f"{key(probing)}.safetensors"

    # --- work that goes on

    def lock(self, question: Question) -> AbstractContextManager[object]:
        """Lock for computing this answer; use it in a `with` statement.

        Raises Busy if another process computes it.
        """
        root = self.out if isinstance(question, Evaluation) else self.zoo
        return _lock(root / ".locks" / f"{key(question)}.lock")

    def check_lock(self, question: Question) -> None:
        """Raise Busy if another process computes this answer."""
        with self.lock(question):
            pass

    def report_lock(self) -> AbstractContextManager[object]:
        """Lock for writing the report. Raises Busy if another process writes it."""
        return _lock(self.out / ".locks" / "report.lock")

    def training(
        self, pretraining: Pretraining, about: Mapping[str, str], stop: SafePoint
    ) -> States:
        """Checkpoints of an encoder's training, until `save_encoder`."""
        folder = self.zoo / key(pretraining) / "training"
        return States(folder, about, self._warn, stop)

    def fitting(self, probing: Probing, about: Mapping[str, str], stop: SafePoint) -> States:
        """Checkpoints of a probe's fit, until `save_probe`."""
        return States(self._fitting(probing), about, self._warn, stop)

    def attacking(self, evaluation: Evaluation, about: Mapping[str, str]) -> States:
        """Checkpoints of an attack, until `save_result`."""
        return States(self.out / "unfinished" / key(evaluation), about, self._warn)

    def _sweep(self) -> None:
        """Remove what is worth nothing any more of processes that were killed."""
        for card in self.zoo.glob("*/card.json"):
            if card.with_name("encoder.safetensors").exists():
                shutil.rmtree(card.with_name("training"), ignore_errors=True)
        for folder in self.zoo.glob("*/fitting/*"):
            if (folder.parents[1] / "probes" / f"{folder.name}.safetensors").exists():
                shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.out / "unfinished").glob("*"):
            if (self.out / "cells" / f"{folder.name}.json").exists():
                shutil.rmtree(folder, ignore_errors=True)

    # --- damage

    def _whole(self, path: Path, read: Callable[[Path], Whole], *beside: Path) -> Whole | None:
        """What ``read`` finds in the file, or None where it is missing, or damaged and set aside.

        ``beside`` are files that are worth nothing without it.
        """
        if not path.exists():
            return None
        try:
            return read(path)
        except _DamagedError as error:
            self._set_aside(str(error), path, *beside)
            return None
        except _OlderError:
            root = self.zoo if path.is_relative_to(self.zoo) else path.parents[1]
            if root not in self._told:
                self._told.add(root)
                self._warn(f"{root} holds answers of an older robench, which are not read")
            return None
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror or error}") from None

    def _set_aside(self, why: str, path: Path, *beside: Path) -> None:
        if path in self._told:
            return
        then = "its picture is left out" if path.parent.name == "examples" else "computing it again"
        if not self._writing:
            then = "left out, `robench run` computes it again"
        elif path.is_relative_to(self.out) or path.is_relative_to(self.zoo):
            then = f"set aside as {path.name}.damaged, {then}"
            for damaged in (path, *beside):
                with suppress(FileNotFoundError):
                    damaged.replace(damaged.with_name(f"{damaged.name}.damaged"))
        else:
            self._told.add(path)  # it stays, and would be met again
        self._warn(f"{path} is damaged ({why}); {then}")


def _lock(path: Path) -> AbstractContextManager[object]:
    try:
        return lock(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None


def published(folder: Path) -> bool:
    """Whether a results folder is published: runs read it, but write elsewhere unless told to."""
    return (folder / PUBLISHED).exists()


_PICTURES = ("label", "clean", "attacked", "clean_prediction", "attacked_prediction")


def _cells(folder: Path) -> list[Path]:
    return list((folder / "cells").glob("*.json"))


def _sealed(answer: bytes) -> bytes:
    """An answer in JSON with the hash of its content, to be written."""
    content = json.loads(answer)
    sealed = {**content, "sha256": _seal(content)}
    return json.dumps(sealed, indent=1, ensure_ascii=False).encode()


def _seal(content: dict[str, Any]) -> str:
    """The SHA-256 of all fields but ``sha256``, also of those that this robench does not know."""
    fields = {name: value for name, value in content.items() if name != "sha256"}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _content(path: Path) -> bytes:
    """What a JSON file holds. Raises StoreError where a newer robench wrote it."""
    try:
        data = read_limited(path, _MOST_JSON)
        content = json.loads(data)
        schema = content.get("schema")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise _DamagedError(f"not JSON: {error}") from None
    if isinstance(schema, int) and schema > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer robench (schema {schema}, this one reads up to "
            f"{SCHEMA}); update robench, or choose another folder with --out or --zoo"
        )
    if isinstance(schema, int) and schema < SCHEMA:
        raise _OlderError
    if content.get("sha256") != _seal(content):
        raise _DamagedError("its fields differ from what was written")
    return data


def _read(path: Path, form: "TypeAdapter[Answer]") -> Answer:
    try:
        return form.validate_json(_content(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _DamagedError(f"{where}: {first['msg']}") from None


def _read_card(path: Path) -> Card:
    card = _read(path, _CARD)
    _check_text(card.method, card.source, card.encoder, *card.branches, card.evaluated_branch)
    _check_name(path.parent.name, card.key, card.question)
    return card


def _read_result(path: Path) -> Result:
    cell = _read(path, _CELL)
    _check_text(*vars(cell.labels).values(), cell.norm, cell.eps, *cell.flags)
    _check_name(path.stem, cell.key, cell.evaluation)
    found = _read_arrays(path.with_suffix(".npz"), cell.outcome_sha256)
    try:
        outcome = Outcome(**{field.name: found[field.name] for field in fields(Outcome)})
    except KeyError as error:
        raise _DamagedError(f"its .npz has no {error}") from None
    if any(getattr(outcome, field.name).shape != (cell.n,) for field in fields(Outcome)):
        raise _DamagedError(f"its .npz is not about {cell.n} images")
    kinds = "".join(getattr(outcome, field.name).dtype.kind for field in fields(Outcome))
    if cell.n < 1 or kinds != "iiiifffi":
        raise _DamagedError("its .npz holds no per-image outcomes")
    if int((outcome.prediction == outcome.label).sum()) != cell.correct:
        raise _DamagedError("its count differs from its per-image outcomes")
    return Result(cell, outcome)


def _read_examples(path: Path, cell: Cell) -> Examples:
    found = _read_arrays(path)
    if not {"classes", *_PICTURES} <= set(found):
        raise _DamagedError("it lacks arrays")
    classes = tuple(map(str, found["classes"].flat))
    _check_text(*classes)
    pixels = found["clean"].shape
    if pixels[1:2] != (3,) or len(pixels) != 4 or 0 in pixels[2:]:
        raise _DamagedError(f"its images have the shape {pixels}")
    for name in _PICTURES:
        array, of_pixels = found[name], name in ("clean", "attacked")
        kind, shape = ("f", pixels) if of_pixels else ("i", pixels[:1])
        fits = array.dtype.kind == kind and array.shape == shape
        low, high = (-0.01, 1.01) if of_pixels else (0, len(classes) - 1)
        if not fits or not ((array >= low) & (array <= high)).all():
            raise _DamagedError(f"its {name} holds what no example has")
    pictures = {name: found[name] for name in _PICTURES}
    return Examples(cell.labels, cell.norm, cell.eps, classes, **pictures)


def _check_name(file: str, said: str, question: Question) -> None:
    try:
        meant = key(question)
    except SpecError as error:
        raise _DamagedError(str(error)) from None
    if not file == said == meant:
        raise _DamagedError("its content belongs to another name")


def _check_text(*texts: str) -> None:
    """What is shown in terminals and tables: no line breaks, escape codes or reversed writing."""
    for text in texts:
        if not text.isprintable() or len(text) > _LONGEST:
            raise _DamagedError(f"{text[:40]!r} is no name: not one printable line")


def _read_arrays(path: Path, sha256: str | None = None) -> dict[str, Any]:
    try:
        data = read_limited(path, _MOST_ARRAYS)
    except FileNotFoundError:
        raise _DamagedError("its .npz is missing") from None
    except OSError as error:
        raise _DamagedError(f"its .npz cannot be read: {error.strerror}") from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise _DamagedError("its .npz differs from what was written")
    try:
        return read_npz(data, _MOST_ARRAYS)
    except ValueError as error:
        raise _DamagedError(f"its .npz cannot be read: {error}") from None


def _read_encoder(path: Path, sha256: str) -> dict[str, Tensor]:
    data = _weights(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _DamagedError("its hash differs from the card's")
    return _tensors(data)


def _read_probe(path: Path) -> dict[str, Tensor]:
    weights = _tensors(_weights(path))
    with safetensors.safe_open(path, framework="pt") as file:
        sha256 = (file.metadata() or {}).get("sha256")
    if sha256 != _digest(weights):
        raise _DamagedError("its hash differs from its content")
    return weights


def _weights(path: Path) -> bytes:
    try:
        return read_limited(path, _MOST_WEIGHTS)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _DamagedError(str(error.strerror)) from None


def _tensors(data: bytes) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = safetensors.torch.load(data)
    except Exception as error:  # a type that torch lacks is a KeyError, another damage another
        raise _DamagedError(f"no safetensors: {error}"[:200]) from None
    return weights


def _digest(weights: dict[str, Tensor]) -> str:
    return hashlib.sha256(safetensors.torch.save(weights)).hexdigest()


def _examples(examples: Examples) -> dict[str, Any]:
    pictures = {name: getattr(examples, name) for name in _PICTURES}
    return {**pictures, "classes": np.array(examples.classes)}


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _shallow(answer: Cell | Card) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in answer.__dataclass_fields__}


def _write(path: Path, data: bytes) -> None:
    try:
        with atomic_write(path) as file:
            file.write(data)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder"
        ) from None
