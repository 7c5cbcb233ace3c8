"""Stored answers that today's code, data and weights would give again."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from robench.catalog.catalog import Catalog
from robench.catalog.revisions import PACKAGE, digest
from robench.contracts import Data
from robench.data import splits
from robench.data.sources import Sources
from robench.engine.subset import training_subset
from robench.grid.questions import (
    Evaluation,
    Imported,
    Pretraining,
    Probing,
    Question,
    Source,
    key,
    parents,
)
from robench.grid.records import Card, Identity, Result
from robench.store.formats import Fitted, Weights
from robench.store.store import Store
from robench.trust.flags import TEST_IMAGES

A = TypeVar("A", bound=Card | Fitted | Result)


@dataclass
class Known:
    """Reads answers and compares their identity; ``say`` gets the reasons against each."""

    catalog: Catalog
    store: Store
    say: Callable[[str], None]
    sources: Sources
    _said: set[tuple[str, ...]] = field(default_factory=set)

    def encoder(self, source: Source) -> tuple[Card, Weights] | None:
        """The card and the weights of a stored encoder."""
        card = self._current(source, self.store.card(source))
        weights = None if card is None else self.store.encoder(card)
        return None if card is None or weights is None else (card, weights)

    def fitted(self, probing: Probing) -> bool:
        """Whether a probe is stored."""
        return self._current(probing, self.store.fitted(probing)) is not None

    def result(self, evaluation: Evaluation, limit: int | None = 0) -> Result | None:
        """The stored result, if it covers ``limit`` test images (None: all)."""
        result = self._current(evaluation, self.store.result(evaluation))
        return result if result is not None and _reaches(result, limit) else None

    def identity(self, question: Question) -> Identity:
        """The identity of an answer made now; data are unknown where their files are missing."""
        weights = tuple(self._weights_sha256(parent) for parent in parents(question))
        return Identity(self._code(question), self._data_sha256(question), weights)

    def _current(self, question: Question, stored: A | None) -> A | None:
        """The stored answer, if it would come out again; else why not, once for each reason."""
        names = () if stored is None else stored.identity.differs(self.identity(question))
        if names and names not in self._said:
            self._said.add(names)
            changed = " and ".join(names)
            self.say(f"{changed} changed since {key(question)} was made: computing it again")
        return None if names else stored

    def _code(self, question: Question) -> tuple[tuple[str, str], ...]:
        code = self.catalog.code
        match question:
            case Pretraining(objective, encoder):
                own = code("methods", objective), code("encoders", encoder), _stage("pretrain")
            case Probing(source, probe):
                own = code("encoders", source.encoder), code("probes", probe), _stage("probe")
            case Evaluation(probing, attack):
                probed = code("encoders", probing.source.encoder), code("probes", probing.probe)
                return (*probed, code("attacks", attack), _stage("evaluate"))
            case Imported():
                return ()
        return own

    def _data_sha256(self, question: Question) -> str:
        """The SHA-256 of what is used of the data; "" where their files are missing."""
        match question:
            case Pretraining(dataset=name, recipe=recipe):
                method = self.catalog.component("methods", question.objective.name)
                used: tuple[object, ...] = recipe.images, method.uses_labels
                of: Callable[..., str] = _of_training
            case Probing(dataset=name, images=images):
                used, of = (images,), _of_probing
            case Evaluation(probing=Probing(dataset=name)):
                used, of = (), _of_test
            case Imported():
                return ""
        return self.sources.digest(name, f"{of.__name__}{used}", lambda data: of(data, *used))

    def _weights_sha256(self, parent: Question) -> str:
        """The SHA-256 of a parent's weights; "" if there are none, "outdated" if they are stale."""
        assert not isinstance(parent, Evaluation)
        if isinstance(parent, Probing):
            stored: Card | Fitted | None = self.store.fitted(parent)
        else:
            stored = self.store.card(parent)
        if stored is None:
            return ""
        return stored.weights_sha256 if self._current(parent, stored) else "outdated"


def training_set(data: Data) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images and labels that encoders are trained on."""
    parts = data.train, data.held_out
    images, labels = [part.images for part in parts], [part.labels for part in parts]
    return np.concatenate(images), np.concatenate(labels)


def _reaches(result: Result, limit: int | None) -> bool:
    available = result.counts.get(TEST_IMAGES, 0)
    return result.n >= (available if limit is None else min(limit, available))


def _of_training(data: Data, count: int | None, labelled: bool) -> str:
    images, labels = training_set(training_subset(data, count))
    sha256 = hashlib.sha256(images.tobytes())
    sha256.update(labels.tobytes() if labelled else b"")
    return sha256.hexdigest()


def _of_probing(data: Data, count: int | None) -> str:
    part = training_subset(data, count)
    return f"{splits.digest(part.train)} {splits.digest(part.held_out)}"


def _of_test(data: Data) -> str:
    return splits.digest(data.test)


def _stage(name: str) -> tuple[str, str]:
    return f"engine/{name}", digest(PACKAGE / "engine" / f"{name}.py")
