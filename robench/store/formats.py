"""The files of a store, read so that nothing is believed that was not written here.

No file is ever unpickled, none is read beyond the limits below, and names are one printable line:
a zoo or a results folder may be somebody else's.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from robench.files import FileTooLarge, check_size, read_limited, read_npz
from robench.grid.records import SCHEMA, Card, Cell, Identity, Outcome, Pictures

A = TypeVar("A")
CARD, CELL = TypeAdapter(Card), TypeAdapter(Cell)
_MOST_JSON, _MOST_ARRAYS, _MOST_WEIGHTS = 2**24, 2**28, 2**33  # bytes; far above what is written
_LONGEST = 4096  # characters of a name
_KINDS = "iiiifffi"  # of an outcome's arrays


class StoreError(Exception):
    """A folder cannot be written, or was written by a newer version; the message says which."""


class DamagedError(Exception):
    """A file is not what was written; the message says how it shows."""


class OlderError(Exception):
    """A file of an older schema, which is not read."""


@dataclass(frozen=True)
class Fitted:
    """A fitted probe, with the SHA-256 of its weights."""

    identity: Identity
    weights_sha256: str


FITTED = TypeAdapter(Fitted)


def sealed(answer: bytes) -> bytes:
    """An answer in JSON with the hash of its content, to be written."""
    content = json.loads(answer)
    whole = {**content, "sha256": _seal(content)}
    return json.dumps(whole, indent=1, ensure_ascii=False).encode()


def _seal(content: dict[str, Any]) -> str:
    """The SHA-256 of all fields but ``sha256``, also of those that this robench does not know."""
    fields = {name: value for name, value in content.items() if name != "sha256"}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_json(path: Path, form: "TypeAdapter[A]") -> A:
    """What a JSON file holds. Raises StoreError where a newer robench wrote it."""
    try:
        data = read_limited(path, _MOST_JSON)
        content = json.loads(data)
        schema = content.get("schema")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DamagedError(f"not JSON: {error}") from None
    if isinstance(schema, int) and schema != SCHEMA:
        if schema < SCHEMA:
            raise OlderError
        raise StoreError(
            f"{path} was written by a newer robench (schema {schema}, this one reads {SCHEMA}); "
            "update robench, or choose another folder with --out or --zoo"
        )
    if content.get("sha256") != _seal(content):
        raise DamagedError("its fields differ from what was written")
    try:
        return form.validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DamagedError(f"{where}: {first['msg']}") from None


def read_card(path: Path) -> Card:
    card = _read_json(path, CARD)
    _check_text(*card.branches, card.evaluated_branch)
    if path.parent.name != card.key:
        raise DamagedError("its content belongs to another name")
    return card


def read_cell(path: Path) -> tuple[Cell, Outcome, Pictures | None]:
    cell = _read_json(path, CELL)
    if path.stem != cell.key:
        raise DamagedError("its content belongs to another name")
    arrays = _read_arrays(path.with_suffix(".npz"), cell.outcome_sha256)
    try:
        outcome = Outcome(**{field.name: arrays[field.name] for field in fields(Outcome)})
    except KeyError as error:
        raise DamagedError(f"its .npz has no {error}") from None
    columns = [getattr(outcome, field.name) for field in fields(Outcome)]
    n = columns[0].size
    if n < 1 or any(column.shape != (n,) for column in columns):
        raise DamagedError("its .npz holds no per-image outcomes")
    if "".join(column.dtype.kind for column in columns) != _KINDS:
        raise DamagedError("its .npz holds no per-image outcomes")
    return cell, outcome, _pictures(arrays, n)


def _pictures(arrays: Mapping[str, Any], n: int) -> Pictures | None:
    if "clean" not in arrays:
        return None
    try:
        clean, attacked = arrays["clean"], arrays["attacked"]
        classes = tuple(map(str, arrays["classes"].flat))
    except KeyError as error:
        raise DamagedError(f"its .npz has no {error}") from None
    _check_text(*classes)
    shape = clean.shape
    if len(shape) != 4 or shape[1] != 3 or 0 in shape[2:] or len(clean) > n:
        raise DamagedError(f"its images have the shape {shape}")
    for pixels in (clean, attacked):
        in_range = pixels.dtype.kind == "f" and ((pixels >= -0.01) & (pixels <= 1.01)).all()
        if pixels.shape != shape or not in_range:
            raise DamagedError("its images hold what no image has")
    return Pictures(clean, attacked, classes)


def _check_text(*texts: str) -> None:
    """Text for terminals and tables has no line breaks, escape codes or reversed writing."""
    for text in texts:
        if not text.isprintable() or len(text) > _LONGEST:
            raise DamagedError(f"{text[:40]!r} is not one printable line")


def _read_arrays(path: Path, sha256: str) -> dict[str, Any]:
    try:
        data = read_limited(path, _MOST_ARRAYS)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedError("its .npz differs from what was written")
        return read_npz(data)
    except FileNotFoundError:
        raise DamagedError("its .npz is missing") from None
    except (OSError, ValueError) as error:
        raise DamagedError(f"its .npz cannot be read: {error}") from None


def read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    try:
        data = read_limited(path, _MOST_WEIGHTS)
    except FileTooLarge as error:
        raise DamagedError(str(error.strerror)) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedError("its hash differs from the card's")
    return _tensors(data)


def read_fitted(path: Path) -> Fitted:
    check_size(path, _MOST_WEIGHTS)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        return FITTED.validate_json(header["fitted"])
    except Exception as error:  # damaged bytes make safetensors raise nearly anything
        raise DamagedError(f"no probe: {error}"[:200].splitlines()[0]) from None


def read_probe(path: Path) -> dict[str, Tensor]:
    weights = _tensors(read_limited(path, _MOST_WEIGHTS))
    if read_fitted(path).weights_sha256 != digest(weights):
        raise DamagedError("its hash differs from its content")
    return weights


def _tensors(data: bytes) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = safetensors.torch.load(data)
    except Exception as error:  # a type that torch lacks is a KeyError, another damage another
        raise DamagedError(f"no safetensors: {error}"[:200]) from None
    return weights


def digest(weights: dict[str, Tensor]) -> str:
    return hashlib.sha256(safetensors.torch.save(weights)).hexdigest()
