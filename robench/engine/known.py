"""Stored answers that today's code, data and weights would give again."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from robench.catalog.catalog import Catalog
from robench.catalog.revisions import PACKAGE, digest
from robench.contracts import Data
from robench.data import splits
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
from robench.grid.spec import Spec
from robench.store.formats import Fitted
from robench.store.store import Stale, Store


@dataclass
class Known:
    """Reads answers and compares their identity; ``say`` gets a line for each reason against one.

    ``data`` are the data sets that are loaded so far: what others hold is not known.
    """

    catalog: Catalog
    store: Store
    say: Callable[[str], None]
    data: dict[Spec, Data] = field(default_factory=dict)
    _digests: dict[object, str] = field(default_factory=dict)
    _said: set[tuple[str, ...]] = field(default_factory=set)

    def identity(self, question: Question) -> Identity:
        """What an answer would be made from now; data are unknown until they are loaded."""
        weights = tuple(self._weights_sha256(parent) for parent in parents(question))
        return Identity(self._code(question), self._data_sha256(question), weights)

    def _code(self, question: Question) -> tuple[tuple[str, str], ...]:
        code = self.catalog.code
        match question:
            case Pretraining():
                components = code("methods", question.objective), code("encoders", question.encoder)
                return (*components, _stage("pretrain"))
            case Imported():
                return ()
            case Probing():
                encoder = code("encoders", question.source.encoder)
                return encoder, code("probes", question.probe), _stage("probe")
            case Evaluation(probing=probing):
                encoder = code("encoders", probing.source.encoder)
                others = code("probes", probing.probe), code("attacks", question.attack)
                return (encoder, *others, _stage("evaluate"))

    def _data_sha256(self, question: Question) -> str:
        match question:
            case Pretraining(dataset=name, recipe=recipe):
                method = self.catalog.component("methods", question.objective.name)
                used: tuple[object, ...] = ("training", recipe.images, method.uses_labels)
            case Probing(dataset=name, images=images):
                used = "probing", images
            case Evaluation(probing=Probing(dataset=name)):
                used = ("test",)
            case _:
                return ""
        if name not in self.data:
            return ""
        if (name, used) not in self._digests:
            self._digests[name, used] = self._digest(self.data[name], used)
        return self._digests[name, used]

    def _digest(self, data: Data, used: tuple[object, ...]) -> str:
        match used:
            case ("training", int() | None as images, bool() as labelled):
                known, labels = training_set(training_subset(data, images))
                sha256 = hashlib.sha256(known.tobytes())
                sha256.update(labels.tobytes() if labelled else b"")
                return sha256.hexdigest()
            case ("probing", int() | None as images):
                part = training_subset(data, images)
                return f"{splits.digest(part.train)} {splits.digest(part.held_out)}"
        return splits.digest(data.test)

    def _weights_sha256(self, parent: Question) -> str:
        """The SHA-256 of a parent's weights; "" if there are none, "outdated" if they are stale."""
        assert not isinstance(parent, Evaluation)
        found = self.store.read(parent, self.identity(parent))
        if found is None:
            return ""
        if isinstance(found, Stale):
            self._say_stale(parent, found)
            return "outdated"
        return found.weights_sha256

    def result(self, evaluation: Evaluation) -> Result | None:
        """The stored result, if it would come out again."""
        found = self.store.read(evaluation, self.identity(evaluation))
        if isinstance(found, Stale):
            self._say_stale(evaluation, found)
            return None
        return found

    def card(self, source: Source) -> Card | None:
        """The card of a stored encoder, if it would come out again."""
        found = self.store.read(source, self.identity(source))
        if isinstance(found, Stale):
            self._say_stale(source, found)
            return None
        return found

    def fitted(self, probing: Probing) -> Fitted | None:
        """A stored probe, if it would come out again."""
        found = self.store.read(probing, self.identity(probing))
        if isinstance(found, Stale):
            self._say_stale(probing, found)
            return None
        return found

    def _say_stale(self, question: Question, stale: Stale) -> None:
        """Say why an answer is not used, once for each reason."""
        if stale.names not in self._said:
            self._said.add(stale.names)
            changed = " and ".join(stale.names)
            self.say(f"{changed} changed since {key(question)} was made: computing it again")


def training_set(data: Data) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images and labels that encoders are trained on."""
    parts = data.train, data.held_out
    images, labels = [part.images for part in parts], [part.labels for part in parts]
    return np.concatenate(images), np.concatenate(labels)


def _stage(name: str) -> tuple[str, str]:
    return f"engine/{name}", digest(PACKAGE / "engine" / f"{name}.py")
