"""Disk maps questions to answers: encoders and probes in a zoo, cells in a results folder.

```
ZOO/<pretraining>/card.json, encoder.safetensors, probes/<probing>.safetensors
OUT/cells/<evaluation>.json, <evaluation>.npz      one answered question, and what happened to each image
OUT/examples/<evaluation>.npz                      a few attacked images to look at
```

Every file is written under another name first and then renamed, the JSON last, so that an answer is there whole or not at
all. No file is ever unpickled.
"""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from robench.answers import SCHEMA, Card, Cell, Examples, Result
from robench.contracts import Outcome
from robench.questions import Evaluation, Pretraining, Probing, key

Answer = TypeVar("Answer", Card, Cell)
_CARD, _CELL = TypeAdapter(Card), TypeAdapter(Cell)
PUBLISHED = "published.json"
"""A results folder that holds this file is published: only a run that names it as its ``--out`` adds to it."""


class StoreError(Exception):
    """A folder cannot be written, or was written by a newer version; the message says which."""


class _Damaged(Exception):
    """A file is not what was written; the message says how it shows."""


class Store:
    """The answers in ``out`` and ``zoo``. ``warn`` is told, in a line, of each damaged answer that is set aside.

    Where ``shelf`` is given, a published results folder, its cells are read too, but nothing is written there.
    """

    def __init__(
        self, out: Path, zoo: Path, warn: Callable[[str], None], shelf: Path | None = None
    ) -> None:
        self.out, self.zoo, self._warn = out, zoo, warn
        self._folders = [out] if shelf is None else [out, shelf]

    def prepare(self) -> None:
        """Make the folders. Raises StoreError where one cannot be written."""
        for folder in (self.out / "cells", self.zoo):
            _writable(folder)

    # --- cells

    def result(self, evaluation: Evaluation) -> Result | None:
        """The stored answer, or None; a damaged one is set aside and counts as None."""
        for folder in self._folders:
            path = folder / "cells" / f"{key(evaluation)}.json"
            found = self._whole(path, lambda path=path: _read_result(path))  # type: ignore[misc]
            if found is not None:
                return found
        return None

    def results(self) -> Iterator[Result]:
        """Every stored answer, by name."""
        seen = set()
        for folder in self._folders:
            for path in sorted((folder / "cells").glob("*.json")):
                if path.name not in seen:
                    seen.add(path.name)
                    found = self._whole(path, lambda path=path: _read_result(path))  # type: ignore[misc]
                    if found is not None:
                        yield found

    def save_result(self, cell: Cell, outcome: Outcome, examples: Examples) -> Result:
        """Keep a cell whose ``outcome_sha256`` is still empty; returns it with the hash filled in."""
        cells = self.out / "cells"
        arrays = _npz(asdict(outcome))
        cell = Cell(**{**_shallow(cell), "outcome_sha256": hashlib.sha256(arrays).hexdigest()})
        _write(self.out / "examples" / f"{cell.key}.npz", _npz(_examples(examples)))
        _write(cells / f"{cell.key}.npz", arrays)
        _write(cells / f"{cell.key}.json", _CELL.dump_json(cell, indent=1))
        return Result(cell, outcome)

    def examples(self, cell: Cell) -> Examples | None:
        """The cell's images to look at, where they were kept."""
        path = self.out / "examples" / f"{cell.key}.npz"
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return Examples(
                    labels=cell.labels,
                    norm=cell.norm,
                    eps=cell.eps,
                    classes=tuple(str(name) for name in arrays["classes"]),
                    **{name: arrays[name] for name in _PICTURES},
                )
        except (OSError, ValueError, KeyError, EOFError) as error:
            self._set_aside(path, str(error))
            return None

    # --- encoders

    def card(self, pretraining: Pretraining) -> Card | None:
        """What is on record about an encoder, or None."""
        return self.card_by_key(key(pretraining))

    def card_by_key(self, name: str) -> Card | None:
        """The card of the encoder with that key, or None."""
        path = self.zoo / name / "card.json"
        return self._whole(path, lambda: _read(path, _CARD))

    def cards(self) -> Iterator[Card]:
        """Every card of the zoo, by name."""
        for path in sorted(self.zoo.glob("*/card.json")):
            card = self.card_by_key(path.parent.name)
            if card is not None:
                yield card

    def encoder(self, card: Card) -> dict[str, Tensor] | None:
        """The weights of a card's encoder, or None where they are missing or damaged."""
        path = self.zoo / card.key / "encoder.safetensors"
        return self._whole(path, lambda: _read_weights(path, card.weights_sha256))

    def save_encoder(self, card: Card, weights: dict[str, Tensor]) -> Card:
        """Keep an encoder whose card's ``weights_sha256`` is still empty; returns the card with the hash filled in."""
        folder = self.zoo / card.key
        data = safetensors.torch.save(weights)
        card = Card(**{**_shallow(card), "weights_sha256": hashlib.sha256(data).hexdigest()})
        _write(folder / "encoder.safetensors", data)
        _write(folder / "card.json", _CARD.dump_json(card, indent=1))
        return card

    def probe(self, probing: Probing) -> dict[str, Tensor] | None:
        """The weights of a fitted probe, or None."""
        path = self._probe(probing)
        return self._whole(path, lambda: _read_weights(path, None))

    def save_probe(self, probing: Probing, weights: dict[str, Tensor]) -> None:
        """Keep a probe's weights."""
        data = safetensors.torch.save(weights, {"sha256": _digest(weights)})
        _write(self._probe(probing), data)

    def _probe(self, probing: Probing) -> Path:
        return self.zoo / key(probing.pretraining) / "probes" / f"{key(probing)}.safetensors"

    # --- damage

    def _whole(self, path: Path, read: Callable[[], Any]) -> Any:
        if not path.exists():
            return None
        try:
            return read()
        except _Damaged as error:
            self._set_aside(path, str(error))
            return None

    def _set_aside(self, path: Path, why: str) -> None:
        aside = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(aside)
        except OSError:
            aside = path
        self._warn(f"{path} is damaged ({why}); set aside as {aside.name}, computing it again")


def published(folder: Path) -> bool:
    """Whether a results folder is published, so that runs read it but write elsewhere unless told to."""
    return (folder / PUBLISHED).exists()


_PICTURES = ("label", "clean", "attacked", "clean_prediction", "attacked_prediction")


def _read(path: Path, form: "TypeAdapter[Answer]") -> Answer:
    try:
        data = path.read_bytes()
        schema = json.loads(data).get("schema")
    except (OSError, ValueError, AttributeError) as error:
        raise _Damaged(f"not JSON: {error}") from None
    if isinstance(schema, int) and schema > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer robench (schema {schema}, this one reads up to {SCHEMA}); "
            "update robench, or choose another folder with --out or --zoo"
        )
    try:
        return form.validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _Damaged(f"{where}: {first['msg']}") from None


def _read_result(path: Path) -> Result:
    cell = _read(path, _CELL)
    if cell.key != path.stem or key(cell.evaluation) != cell.key:
        raise _Damaged("its content belongs to another name")
    try:
        data = path.with_suffix(".npz").read_bytes()
    except OSError:
        raise _Damaged("its .npz is missing") from None
    if hashlib.sha256(data).hexdigest() != cell.outcome_sha256:
        raise _Damaged("its .npz differs from what was written")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        outcome = Outcome(**{name: arrays[name] for name in Outcome.__dataclass_fields__})
    correct = int((outcome.attacked_prediction == outcome.label).sum())
    if len(outcome.label) != cell.n or correct != cell.correct:
        raise _Damaged("its counts differ from its per-image outcomes")
    return Result(cell, outcome)


def _read_weights(path: Path, sha256: str | None) -> dict[str, Tensor]:
    data = path.read_bytes()
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise _Damaged("its hash differs from the card's")
    try:
        weights = safetensors.torch.load(data)
        if sha256 is None:
            with safetensors.safe_open(path, framework="pt") as file:
                if file.metadata().get("sha256") != _digest(weights):
                    raise _Damaged("its hash differs from its content")
    except (safetensors.SafetensorError, AttributeError) as error:
        raise _Damaged(str(error)) from None
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
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).chmod(0o644)
        os.replace(file.name, path)
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


