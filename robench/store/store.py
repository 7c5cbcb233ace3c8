"""Disk maps questions to answers: encoders and probes in a zoo, cells in a results folder.

```
ZOO/<source>/card.json, encoder.safetensors
ZOO/<source>/heads.safetensors                   its classifier and projector, if it has one
ZOO/<source>/probes/<probing>.safetensors
OUT/cells/<evaluation>.json, <evaluation>.npz    one answer, and what happened to each image
ZOO or OUT/unfinished/<key>/                     checkpoints, until the answer is there
ZOO or OUT/.locks/<key>.lock                     held by the process that computes the answer
```

Files appear whole or not at all, the JSON last. A damaged answer is left out, and computed again.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch

from robench.files import FileTooLarge, atomic_write, write_npz
from robench.grid.questions import Evaluation, Imported, Probing, Question, Source, key
from robench.grid.records import Card, Cell, Fit, Identity, Labels, Outcome, Pictures, Result
from robench.store.checkpoints import FileCheckpoints, SafePoint
from robench.store.formats import (
    CARD,
    CELL,
    FITTED,
    Fitted,
    OlderError,
    Weights,
    arrays_of,
    digest,
    read_card,
    read_cell,
    read_fitted,
    read_pictures,
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


class Store:
    """The answers in ``out`` and ``zoo``; ``warn`` gets each line about files once.

    Where ``shelf`` is given, a published results folder, its cells are read too, but nothing is
    written there. ``labels`` names a result's components. Nothing is written before `prepare`.
    """

    def __init__(
        self,
        out: Path,
        zoo: Path,
        warn: Callable[[str], None],
        shelf: Path | None = None,
        labels: Callable[[Evaluation], Labels] = Labels.of,
    ) -> None:
        self.out, self.zoo, self._warn, self._labels = out, zoo, cache(warn), cache(labels)
        self._folders = [out] if shelf is None else [out, shelf]
        self._read: dict[Path, tuple[object, Any]] = {}

    def prepare(self) -> None:
        """Make the folders, and read every cell.

        Raises StoreError where a folder cannot be written, or holds answers of a newer robench.
        """
        for folder in (self.out / "cells", self.zoo):
            with _written(folder):
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
        for _ in self.results():
            pass

    # --- reading: None where there is no such answer, or a damaged one

    def card(self, source: Source) -> Card | None:
        """The card of an encoder."""
        return self._cached(self._path(source), read_card)

    def card_by_key(self, name: str) -> Card | None:
        """The card of the encoder with that key."""
        return self._cached(self.zoo / name / "card.json", read_card)

    def cards(self) -> Iterator[Card]:
        """Every card of the zoo, by name."""
        names = sorted(path.parent.name for path in self.zoo.glob("*/card.json"))
        return (card for card in map(self.card_by_key, names) if card is not None)

    def encoder(self, card: Card) -> Weights | None:
        """The weights of a card's encoder."""
        path = self.zoo / card.key / "encoder.safetensors"
        return self._whole(path, partial(read_weights, sha256=card.weights_sha256))

    def heads(self, card: Card) -> Weights:
        """The weights of the head and the projector of a card's encoder; none if damaged."""
        if not card.heads_sha256:
            return {}
        path = self.zoo / card.key / "heads.safetensors"
        return self._whole(path, partial(read_weights, sha256=card.heads_sha256)) or {}

    def fitted(self, probing: Probing) -> Fitted | None:
        """A stored probe, without its weights."""
        return self._cached(self._path(probing), read_fitted)

    def probe(self, probing: Probing) -> Weights | None:
        """The weights of a stored probe."""
        return self._whole(self._path(probing), read_probe)

    def result(self, evaluation: Evaluation) -> Result | None:
        """A stored result."""
        return self._result(self._path(evaluation).name)

    def is_published(self, result: Result) -> bool:
        """Whether the result is on the shelf alone."""
        return not self._path(result.cell.evaluation).exists()

    def results(self) -> Iterator[Result]:
        """Every stored result, by name."""
        names = {path.name for root in self._folders for path in (root / "cells").glob("*.json")}
        found = (self._result(name) for name in sorted(names))
        return (result for result in found if result is not None)

    def labels(self, evaluation: Evaluation) -> Labels:
        """The names that a table prints; an imported encoder's is on its card."""
        labels, source = self._labels(evaluation), evaluation.probing.source
        card = self.card(source) if isinstance(source, Imported) else None
        return labels if card is None else replace(labels, method=card.name)

    # --- writing

    def save_encoder(self, card: Card, weights: Weights, heads: Weights | None = None) -> Card:
        """Keep an encoder, and what it was trained with; returns the card with their hashes."""
        folder = self.zoo / card.key
        data, beside = safetensors.torch.save(weights), safetensors.torch.save(heads or {})
        card = replace(
            card,
            weights_sha256=hashlib.sha256(data).hexdigest(),
            heads_sha256=hashlib.sha256(beside).hexdigest() if heads else "",
        )
        with suppress(OSError):
            if folder.is_symlink():  # another zoo keeps its encoder
                folder.unlink()
            # Of damaged weights: whoever reads now must not judge these by it.
            (folder / "card.json").unlink()
        _write(folder / "encoder.safetensors", data)
        if heads:
            _write(folder / "heads.safetensors", beside)
        _write(folder / "card.json", sealed(CARD.dump_json(card)))
        self._finish(card.question)
        return card

    def save_probe(
        self, probing: Probing, identity: Identity, weights: Weights, fit: Fit | None = None
    ) -> None:
        """Keep a probe's weights, and how well it fits."""
        header = {"fitted": FITTED.dump_json(Fitted(identity, digest(weights), fit)).decode()}
        _write(self._path(probing), safetensors.torch.save(weights, header))
        self._finish(probing)

    def save_result(self, cell: Cell, outcome: Outcome, pictures: Pictures | None) -> Result:
        """Keep a cell with its outcome; returns the result, with the ``outcome_sha256``."""
        path = self._path(cell.evaluation)
        with _written(path):
            sha256 = write_npz(path.with_suffix(".npz"), arrays_of(outcome, pictures))
        cell = replace(cell, outcome_sha256=sha256)
        _write(path, sealed(CELL.dump_json(cell)))
        self._finish(cell.evaluation)
        return self._of_file(path, cell, outcome)

    # --- between folders that are not shared

    def files(self, question: Question) -> dict[str, bytes]:
        """The files of a stored answer, by their paths in its folder; the one that counts last."""
        path, root = self._path(question), self._root(question)
        names = [path.with_suffix(".npz"), path]
        if path.name == "card.json":
            names = [path.with_name(f"{part}.safetensors") for part in ("encoder", "heads")]
            names.append(path)
        return {str(one.relative_to(root)): one.read_bytes() for one in names if one.exists()}

    def take(self, question: Question, files: Mapping[str, bytes]) -> None:
        """Keep the `files` of an answer from another store, where there is none here."""
        if not self._path(question).exists():
            for name, content in files.items():
                _write(self._root(question) / name, content)

    # --- work in progress

    def lock(self, question: Question) -> AbstractContextManager[object]:
        """Lock for computing the answer; use it in a `with` statement.

        Raises Busy if another process computes it.
        """
        return self._lock(self._root(question), key(question))

    def report_lock(self) -> AbstractContextManager[object]:
        """Lock for writing the report. Raises Busy if another process writes it."""
        return self._lock(self.out, "report")

    def checkpoints(
        self,
        question: Question,
        about: Mapping[str, str],
        safe_point: SafePoint = lambda save: None,
    ) -> FileCheckpoints:
        """Checkpoints of unfinished work on an answer, until it is written."""
        return FileCheckpoints(self._unfinished(question), about, self._warn, safe_point)

    def _lock(self, root: Path, name: str) -> AbstractContextManager[object]:
        with _written(path := root / ".locks" / f"{name}.lock"):
            return lock(path)

    def _path(self, question: Question) -> Path:
        """The file whose presence means that there is an answer."""
        match question:
            case Evaluation():
                return self.out / "cells" / f"{key(question)}.json"
            case Probing():
                folder = self.zoo / key(question.source)
                return folder / "probes" / f"{key(question)}.safetensors"
        return self.zoo / key(question) / "card.json"

    def _unfinished(self, question: Question) -> Path:
        return self._root(question) / "unfinished" / key(question)

    def _root(self, question: Question) -> Path:
        return self.out if isinstance(question, Evaluation) else self.zoo

    def _finish(self, question: Question) -> None:
        self.checkpoints(question, {}).clear()
        with suppress(OSError):  # others' work is there
            self._unfinished(question).parent.rmdir()

    # --- files

    def _result(self, name: str) -> Result | None:
        for root in self._folders:
            found = self._cached(root / "cells" / name, read_cell)
            if found is not None:
                return self._of_file(root / "cells" / name, *found)
        return None

    def _of_file(self, path: Path, cell: Cell, outcome: Outcome) -> Result:
        labels = self.labels(cell.evaluation)
        return Result(cell, outcome, labels, load_pictures=partial(read_pictures, path))

    def _cached(self, path: Path, read: Callable[[Path], A]) -> A | None:
        """The same as `_whole`, without opening a file again that has not changed."""
        state = [_state(one) for one in (path, path.with_suffix(".npz"))]
        if path not in self._read or self._read[path][0] != state:
            self._read[path] = state, self._whole(path, read)
        found: A | None = self._read[path][1]
        return found

    def _whole(self, path: Path, read: Callable[[Path], A]) -> A | None:
        """The content of a file by ``read``, or None if it is missing, older or damaged."""
        root = self.zoo if path.is_relative_to(self.zoo) else path.parents[1]
        try:
            return read(path)
        except FileNotFoundError:
            return None
        except StoreError:
            raise
        except OlderError:
            line = f"{root} holds answers of an older robench, which are not read"
        except Exception as error:  # damaged bytes make readers raise nearly anything
            if isinstance(error, OSError) and not isinstance(error, FileTooLarge):
                raise StoreError(f"cannot read {path}: {error.strerror or error}") from None
            line = f"{path} is damaged ({' '.join(str(error).split())[:200]}) and left out"
        self._warn(line)
        return None


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
    with _written(path), atomic_write(path) as file:
        file.write(data)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Raises StoreError where ``path`` cannot be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"cannot write to {path}: {reason}; choose another folder") from None
