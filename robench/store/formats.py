"""The files of a store, and the checks that what is read is what was written.

A zoo or a results folder may be somebody else's: no file is ever unpickled, and none is read beyond
the limits below. A reader raises OlderError or StoreError for another schema; any other error is
damage.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.torch
from pydantic import TypeAdapter
from torch import Tensor

from robench.files import Arrays, check_size, read_limited, read_npz
from robench.grid.records import SCHEMA, Card, Cell, Fit, Identity, Outcome, Pictures

A = TypeVar("A")
Weights = dict[str, Tensor]
Evaluated = tuple[Cell, Outcome]

_MOST_JSON, _MOST_ARRAYS, _MOST_WEIGHTS = 2**24, 2**28, 2**33  # bytes; far above what is written
_KINDS = "iiiifffi"  # of an outcome's arrays


class StoreError(Exception):
    """A folder cannot be read or written, or is of a newer version; the message says which."""


class OlderError(Exception):
    """A file of an older schema, which is not read."""


@dataclass(frozen=True)
class Fitted:
    """A fitted probe, with the SHA-256 of its weights; ``fit`` is None for one that came along."""

    identity: Identity
    weights_sha256: str
    fit: Fit | None = None


CARD, CELL, FITTED = TypeAdapter(Card), TypeAdapter(Cell), TypeAdapter(Fitted)


def sealed(answer: bytes) -> bytes:
    """An answer in JSON with the hash of its content, to be written."""
    content = json.loads(answer)
    whole = {**content, "sha256": _seal(content)}
    return json.dumps(whole, indent=1, ensure_ascii=False).encode()


def arrays_of(outcome: Outcome, pictures: Pictures | None) -> Arrays:
    """The arrays of a cell by name, to be written."""
    shown = {} if pictures is None else asdict(pictures)
    return {name: np.asarray(value) for name, value in (asdict(outcome) | shown).items()}


def digest(weights: Weights) -> str:
    """The SHA-256 of a probe's weights."""
    return hashlib.sha256(safetensors.torch.save(weights)).hexdigest()


def read_card(path: Path) -> Card:
    """The card in a file."""
    card = _read_json(path, CARD)
    _check(path.parent.name == card.key, "its content belongs to another name")
    return card


def read_cell(path: Path) -> Evaluated:
    """The cell in a file, and the outcome beside it."""
    cell, beside = _read_json(path, CELL), path.with_suffix(".npz")
    _check(path.stem == cell.key, "its content belongs to another name")
    _check(beside.exists(), "its .npz is missing")
    data = read_limited(beside, _MOST_ARRAYS)
    written = hashlib.sha256(data).hexdigest() == cell.outcome_sha256
    _check(written, "its .npz differs from what was written")
    names = [field.name for field in fields(Outcome)]
    arrays = read_npz(data, names)
    columns = {name: arrays[name] for name in names}
    shapes = {column.shape for column in columns.values()}
    per_image = len(shapes) == 1 and len(columns["index"].shape) == 1 and columns["index"].size
    kinds = "".join(column.dtype.kind for column in columns.values())
    _check(bool(per_image) and kinds == _KINDS, "its .npz holds no per-image outcomes")
    return cell, Outcome(**columns)


def read_pictures(path: Path) -> Pictures | None:
    """The example images beside a cell's file, which `read_cell` checked; None without any."""
    try:
        beside = read_limited(path.with_suffix(".npz"), _MOST_ARRAYS)
        arrays = read_npz(beside, [field.name for field in fields(Pictures)])
        return Pictures(arrays["clean"], arrays["attacked"], tuple(map(str, arrays["classes"])))
    except (OSError, ValueError, KeyError):  # it went since then, or has none
        return None


def read_weights(path: Path, sha256: str) -> Weights:
    """The weights in a file of that hash."""
    data = read_limited(path, _MOST_WEIGHTS)
    _check(hashlib.sha256(data).hexdigest() == sha256, "its hash differs from the card's")
    weights: Weights = safetensors.torch.load(data)
    return weights


def read_fitted(path: Path) -> Fitted:
    """The identity in a probe's file, without reading its weights."""
    check_size(path, _MOST_WEIGHTS)
    with safetensors.safe_open(path, framework="pt") as file:
        return FITTED.validate_json(file.metadata()["fitted"])


def read_probe(path: Path) -> Weights:
    """The weights in a probe's file."""
    weights: Weights = safetensors.torch.load(read_limited(path, _MOST_WEIGHTS))
    written = read_fitted(path).weights_sha256 == digest(weights)
    _check(written, "its hash differs from its content")
    return weights


def _read_json(path: Path, form: "TypeAdapter[A]") -> A:
    data = read_limited(path, _MOST_JSON)
    content = json.loads(data)
    schema = content.get("schema")
    if isinstance(schema, int) and schema < SCHEMA:
        raise OlderError
    if isinstance(schema, int) and schema > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer robench (schema {schema}, this one reads {SCHEMA}); "
            "update robench, or choose another folder with --out or --zoo"
        )
    _check(content.get("sha256") == _seal(content), "its fields differ from what was written")
    return form.validate_json(data)


def _seal(content: dict[str, Any]) -> str:
    """The SHA-256 of all fields but ``sha256``, also of those that this robench does not know."""
    others = {name: value for name, value in content.items() if name != "sha256"}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _check(held: bool, damage: str) -> None:
    if not held:
        raise ValueError(damage)
