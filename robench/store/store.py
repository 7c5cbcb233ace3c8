"""Disk maps questions to answers: encoders and probes in a zoo, cells in a results folder.

```
ZOO/<source>/card.json, encoder.safetensors
ZOO/<source>/probes/<probing>.safetensors
OUT/cells/<evaluation>.json, <evaluation>.npz    one answer, and what happened to each image
ZOO or OUT/unfinished/<key>/                     checkpoints, until the answer is there
ZOO or OUT/.locks/<key>.lock                     held by the process that computes the answer
```

Files appear whole or not at all, the JSON last. Zoos and results may be somebody else's, so no file
is ever unpickled, none is read beyond the limits below, and names are one printable line.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor

from robench.files import atomic_write, write_npz
from robench.grid.questions import Evaluation, Imported, Pretraining, Probing, Question, Source, key
from robench.grid.records import Card, Cell, Identity, Labels, Outcome, Pictures, Result
from robench.store.checkpoints import FileCheckpoints, SafePoint
from robench.store.formats import (
    CARD,
    CELL,
    FITTED,
    DamagedError,
    Fitted,
    OlderError,
    digest,
    read_card,
    read_cell,
    read_fitted,
    read_probe,
    read_weights,
    sealed,
)
from robench.store.formats import (
    StoreError as StoreError,
)
from robench.store.locks import lock

A = TypeVar("A")
PUBLISHED = "published.json"
"""A results folder that holds this file is published: only a run that names it as its ``--out``
adds to it.
"""


@dataclass(frozen=True)
class Stale:
    """An answer that was made from something else than there is now; ``names`` say what."""

    names: tuple[str, ...]


def names_only(evaluation: Evaluation) -> Labels:
    """Labels without a catalog: the names of the components."""
    probing, source = evaluation.probing, evaluation.probing.source
    method, trained_on = "imported", probing.dataset
    if isinstance(source, Pretraining):
        method, trained_on = source.objective.name, source.dataset
    return Labels(
        method=method,
        source=trained_on.name,
        target=probing.dataset.name,
        encoder=source.encoder.name,
        probe=probing.probe.name,
        attack=evaluation.attack.name,
    )


class Store:
    """The answers in ``out`` and ``zoo``; ``warn`` gets a line for each damaged file.

    Where ``shelf`` is given, a published results folder, its cells are read too, but nothing is
    written there. ``labels`` names a result's components. Nothing is written before `prepare`.
    """

    def __init__(
        self,
        out: Path,
        zoo: Path,
        warn: Callable[[str], None],
        shelf: Path | None = None,
        labels: Callable[[Evaluation], Labels] = names_only,
    ) -> None:
        self.out, self.zoo, self._warn, self._labels = out, zoo, warn, labels
        self._folders = [out] if shelf is None else [out, shelf]
        self._writing = False
        self._warned: set[Path] = set()
        self._read: dict[Path, tuple[object, Any]] = {}

    def prepare(self) -> None:
        """Make the folders, and read every cell.

        Raises StoreError where a folder cannot be written, or holds answers of a newer robench.
        """
        for folder in (self.out / "cells", self.zoo):
            _check_writable(folder)
        self._writing = True
        for _ in self.results():
            pass

    # --- reading

    @overload
    def read(self, question: Source, identity: Identity | None = None) -> Card | Stale | None: ...
    @overload
    def read(
        self, question: Probing, identity: Identity | None = None
    ) -> Fitted | Stale | None: ...
    @overload
    def read(
        self, question: Evaluation, identity: Identity | None = None
    ) -> Result | Stale | None: ...
    def read(
        self, question: Question, identity: Identity | None = None
    ) -> Card | Fitted | Result | Stale | None:
        """The stored answer; `Stale` if its identity is another, and None if there is none."""
        found: Card | Fitted | Result | None
        path = self._path(question)
        match question:
            case Pretraining() | Imported():
                found = self._cached(path, read_card)
            case Probing():
                found = self._cached(path, read_fitted)
            case Evaluation():
                found = self._result(path.name)
        if found is None or identity is None:
            return found
        own = found.cell.identity if isinstance(found, Result) else found.identity
        names = own.differs(identity)
        return Stale(names) if names else found

    def results(self) -> Iterator[Result]:
        """Every stored result that is whole, by name."""
        names = {path.name for root in self._folders for path in (root / "cells").glob("*.json")}
        found = (self._result(name) for name in sorted(names))
        return (result for result in found if result is not None)

    def cards(self) -> Iterator[Card]:
        """Every card of the zoo, by name."""
        for path in sorted(self.zoo.glob("*/card.json")):
            card = self._cached(path, read_card)
            if card is not None:
                yield card

    def card(self, source: Source) -> Card | None:
        """The card of an encoder, or None."""
        return self._cached(self._path(source), read_card)

    def card_by_key(self, name: str) -> Card | None:
        """The card of the encoder with that key, or None."""
        return self._cached(self.zoo / name / "card.json", read_card)

    def encoder(self, card: Card) -> dict[str, Tensor] | None:
        """The weights of a card's encoder, or None where they are missing or damaged."""
        path = self.zoo / card.key / "encoder.safetensors"
        return self._whole(path, lambda path: read_weights(path, card.weights_sha256))

    def probe(self, probing: Probing) -> dict[str, Tensor] | None:
        """The weights of a fitted probe, or None where they are missing or damaged."""
        return self._whole(self._path(probing), read_probe)

    def labels(self, evaluation: Evaluation) -> Labels:
        """The names that a table prints; an imported encoder's is on its card."""
        labels, source = self._labels(evaluation), evaluation.probing.source
        card = self.card(source) if isinstance(source, Imported) else None
        return labels if card is None else replace(labels, method=card.name)

    # --- writing

    def save_encoder(self, card: Card, weights: dict[str, Tensor]) -> Card:
        """Keep an encoder; returns the card with the ``weights_sha256``."""
        folder = self.zoo / card.key
        data = safetensors.torch.save(weights)
        card = replace(card, weights_sha256=hashlib.sha256(data).hexdigest())
        with suppress(OSError):  # of damaged weights: whoever reads now must not judge these by it
            (folder / "card.json").unlink()
        _write(folder / "encoder.safetensors", data)
        _write(folder / "card.json", sealed(CARD.dump_json(card)))
        self._finish(card.question)
        return card

    def save_probe(self, probing: Probing, identity: Identity, weights: dict[str, Tensor]) -> str:
        """Keep a probe's weights; returns their SHA-256."""
        fitted = Fitted(identity, digest(weights))
        header = {"fitted": FITTED.dump_json(fitted).decode()}
        _write(self._path(probing), safetensors.torch.save(weights, header))
        self._finish(probing)
        return fitted.weights_sha256

    def save_result(self, cell: Cell, outcome: Outcome, pictures: Pictures | None) -> Result:
        """Keep a cell with its outcome; returns the result, with the ``outcome_sha256``."""
        path = self._path(cell.evaluation)
        arrays = asdict(outcome)
        if pictures is not None:
            arrays |= {"clean": pictures.clean, "attacked": pictures.attacked}
            arrays["classes"] = np.array(pictures.classes)
        try:
            cell = replace(cell, outcome_sha256=write_npz(path.with_suffix(".npz"), arrays))
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
        _write(path, sealed(CELL.dump_json(cell)))
        self._finish(cell.evaluation)
        return Result(cell, outcome, self.labels(cell.evaluation), pictures=pictures)

    def drop_probe(self, probing: Probing, why: str) -> None:
        """Set aside a probe that turned out not to fit."""
        self._set_aside(self._path(probing), why)

    # --- work in progress

    def lock(self, question: Question) -> AbstractContextManager[object]:
        """Lock for computing the answer; use it in a `with` statement.

        Raises Busy if another process computes it.
        """
        return self._lock(self._root(question) / ".locks" / f"{key(question)}.lock")

    def report_lock(self) -> AbstractContextManager[object]:
        """Lock for writing the report. Raises Busy if another process writes it."""
        return self._lock(self.out / ".locks" / "report.lock")

    def checkpoints(
        self,
        question: Question,
        about: Mapping[str, str],
        safe_point: SafePoint = lambda save: None,
    ) -> FileCheckpoints:
        """Checkpoints of unfinished work on an answer, until it is written."""
        return FileCheckpoints(self._unfinished(question), about, self._warn, safe_point)

    def _lock(self, path: Path) -> AbstractContextManager[object]:
        try:
            return lock(path)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from None

    def _path(self, question: Question) -> Path:
        """The file whose presence means that there is an answer."""
        match question:
            case Pretraining() | Imported():
                return self.zoo / key(question) / "card.json"
            case Probing():
                folder = self.zoo / key(question.source)
                return folder / "probes" / f"{key(question)}.safetensors"
            case Evaluation():
                return self.out / "cells" / f"{key(question)}.json"

    def _unfinished(self, question: Question) -> Path:
        return self._root(question) / "unfinished" / key(question)

    def _root(self, question: Question) -> Path:
        return self.out if isinstance(question, Evaluation) else self.zoo

    def _finish(self, question: Question) -> None:
        unfinished = self._unfinished(question)
        shutil.rmtree(unfinished, ignore_errors=True)
        with suppress(OSError):  # others' work is there
            unfinished.parent.rmdir()

    # --- damage

    def _result(self, name: str) -> Result | None:
        found = (self._cached(root / "cells" / name, self._read_result) for root in self._folders)
        return next((result for result in found if result is not None), None)

    def _read_result(self, path: Path) -> Result:
        cell, outcome, pictures = read_cell(path)
        return Result(cell, outcome, self.labels(cell.evaluation), pictures=pictures)

    def _cached(self, path: Path, read: Callable[[Path], A]) -> A | None:
        """The same as `_whole`, without opening a file again that has not changed."""
        state = tuple(_state(one) for one in (path, path.with_suffix(".npz")))
        if path not in self._read or self._read[path][0] != state:
            self._read[path] = state, self._whole(path, read)
        found: A | None = self._read[path][1]
        return found

    def _whole(self, path: Path, read: Callable[[Path], A]) -> A | None:
        """What ``read`` finds in the file, or None where it is missing, older or damaged."""
        try:
            return read(path)
        except FileNotFoundError:
            return None
        except DamagedError as error:
            self._set_aside(path, str(error))
        except OlderError:
            root = self.zoo if path.is_relative_to(self.zoo) else path.parents[1]
            self._warn_once(root, f"{root} holds answers of an older robench, which are not read")
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror or error}") from None
        return None

    def _set_aside(self, path: Path, why: str) -> None:
        own = path.is_relative_to(self.out) or path.is_relative_to(self.zoo)
        if self._writing and own:
            for damaged in (path, path.with_suffix(".npz")):
                with suppress(FileNotFoundError):
                    damaged.replace(damaged.with_name(f"{damaged.name}.damaged"))
            self._warn(f"{path} is damaged ({why}); set aside as {path.name}.damaged")
        else:
            self._warn_once(path, f"{path} is damaged ({why}) and left out")

    def _warn_once(self, path: Path, line: str) -> None:
        if path not in self._warned:
            self._warned.add(path)
            self._warn(line)


def published(folder: Path) -> bool:
    """Whether a results folder is published: runs read it, and write to it if it is named."""
    return (folder / PUBLISHED).exists()


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _write(path: Path, data: bytes) -> None:
    try:
        with atomic_write(path) as file:
            file.write(data)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder"
        ) from None
