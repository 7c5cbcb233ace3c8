"""Stored answers that today's code, data and weights would give again."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from robench.catalog.catalog import Catalog
from robench.catalog.revisions import Code, stage
from robench.contracts import Data, DataError
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
from robench.grid.records import CODE, DATA, WEIGHTS, Card, Identity, Result
from robench.grid.spec import SpecError
from robench.store.formats import Fitted, Weights
from robench.store.store import Store
from robench.trust.flags import TEST_IMAGES

A = TypeVar("A", bound=Card | Fitted | Result)


@dataclass
class Known:
    """Reads answers and compares their identity; ``say`` gets the reasons against each.

    Data are not compared without ``sources``. With ``older_code``, answers of other code than
    today's are accepted, and ``accepted`` names that code.
    """

    catalog: Catalog
    store: Store
    say: Callable[[str], None]
    sources: Sources | None = None
    older_code: bool = False
    accepted: set[str] = field(default_factory=set)
    _said: set[object] = field(default_factory=set)

    def encoder(self, source: Source) -> tuple[Card, Weights] | None:
        """The card and the weights of a stored encoder."""
        card = self._current(source, self.store.card(source))
        weights = None if card is None else self.store.encoder(card)
        return None if card is None or weights is None else (card, weights)

    def fitted(self, probing: Probing) -> bool:
        """Whether a probe is stored."""
        return self._current(probing, self.store.fitted(probing)) is not None

    def result(self, evaluation: Evaluation, limit: int | None = 0) -> Result | None:
        """The stored result, if it covers ``limit`` test images (None: all).

        A published one is never computed again: what has changed since is a footnote.
        """
        result = self.store.result(evaluation)
        if result is None or not _reaches(result, limit):
            return None
        return result if self.store.is_published(result) else self._current(evaluation, result)

    def unchanged(self, evaluation: Evaluation) -> Result | None:
        """The stored result, if nothing has changed, so that more images can be added to it."""
        result = self.store.result(evaluation)
        return None if result is None or self._changes(evaluation, result) else result

    def split(self, results: Iterable[Result]) -> tuple[list[Result], list[Result]]:
        """The results that would come out again, and the others; says once what has changed.

        Where the numbers of a classifier are of several encoders or probes, the latest are right.
        """
        latest, counts = dict[Probing, tuple[str, ...]](), Counter[str]()
        current, outdated = list[Result](), list[Result]()
        for one in sorted(results, key=lambda one: one.cell.provenance.finished, reverse=True):
            evaluation, weights = one.cell.evaluation, one.identity.parents[:1]
            try:
                changed = self._counting(self._changes(evaluation, one))
            except DataError:  # nobody asked for these, and they may be damaged
                changed = (f"{DATA} {evaluation.probing.dataset}",)
            if not changed and latest.setdefault(evaluation.probing, weights) != weights:
                changed = (WEIGHTS,)
            counts.update(changed)
            (outdated if changed else current).append(one)
        for what, count in counts.items():
            self._once(f"{what} changed since {count} of the stored cells were made")
        return current, outdated

    def identity(self, question: Question) -> Identity:
        """The identity of an answer made now; data are unknown where their files are missing."""
        stored = [self._stored(parent) for parent in parents(question)]
        weights = tuple("" if one is None else one.weights_sha256 for one in stored)
        code = tuple((one.name, one.identity) for one in self._code(question))
        return Identity(code, self._data_sha256(question), weights)

    def _current(self, question: Question, stored: A | None) -> A | None:
        """The stored answer, if it would come out again; else why not, once for each reason."""
        changed = () if stored is None else self._counting(self._changes(question, stored))
        if changed and changed not in self._said:
            self._said.add(changed)
            what = " and ".join(changed)
            self.say(f"{what} changed since {key(question)} was made: computing it again")
        return None if changed else stored

    def _changes(self, question: Question, stored: Card | Fitted | Result) -> tuple[str, ...]:
        """The changes since an answer, or one that it was made from, was made."""
        changed = dict.fromkeys(
            self._in_words(question, name)
            for name in stored.identity.differs(self.identity(question))
        )
        for parent in parents(question):
            if (one := self._stored(parent)) is not None:
                changed |= dict.fromkeys(self._changes(parent, one))
        return tuple(changed)

    def _counting(self, changed: tuple[str, ...]) -> tuple[str, ...]:
        """The changes that are not accepted."""
        code = {what for what in changed if self.older_code and what.startswith(CODE)}
        self.accepted |= code
        return tuple(what for what in changed if what not in code)

    def _in_words(self, question: Question, name: str) -> str:
        """A name of `Identity.differs` with the files or the data set that it is about."""
        if name == DATA and not isinstance(question, Imported):
            probing = question.probing if isinstance(question, Evaluation) else question
            return f"{DATA} {self.catalog.label('datasets', probing.dataset)}"
        own = [one.own for one in self._code(question) if name == CODE + one.name]
        files = ", ".join(path.name for paths in own for path in paths)
        return f"{name} ({files})" if files else name

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self.say(line)

    # --- what an answer is made from

    def _code(self, question: Question) -> list[Code]:
        """The code of components and stages; that of a plug-in that is not at hand is left out."""
        match question:
            case Pretraining(objective, encoder, teacher=teacher):
                named, own = [("methods", objective), ("encoders", encoder)], "pretrain"
                named += [] if teacher is None else [("encoders", teacher.encoder)]
            case Probing(source, probe):
                named, own = [("encoders", source.encoder), ("probes", probe)], "probe"
            case Evaluation(probing, attack, surrogate=surrogate):
                named, own = [("attacks", attack)], "evaluate"
                for one in filter(None, (probing, surrogate)):
                    named += [("encoders", one.source.encoder), ("probes", one.probe)]
            case Imported():
                return []
        found = []
        for kind, spec in named:
            with suppress(SpecError):
                found.append(self.catalog.code(kind, spec))
        return [*found, stage(f"engine/{own}")]

    def _data_sha256(self, question: Question) -> str:
        """The SHA-256 of what is used of the data; "" where their files are missing."""
        if self.sources is None:
            return ""
        try:
            match question:
                case Pretraining(objective, dataset=name, recipe=recipe):
                    labelled = self.catalog.uses_labels(objective)
                    used: tuple[object, ...] = recipe.images, labelled
                    of: Callable[..., str] = _of_training
                case Probing(dataset=name, images=images):
                    used, of = (images,), _of_fitting
                case Evaluation(probing=Probing(dataset=name)):
                    used, of = (), _of_test
                case Imported():
                    return ""
            return self.sources.digest(name, f"{of.__name__}{used}", lambda data: of(data, *used))
        except SpecError:  # a plug-in's that is not at hand
            return ""

    def _stored(self, parent: Question) -> Card | Fitted | None:
        assert not isinstance(parent, Evaluation)
        return self.store.fitted(parent) if isinstance(parent, Probing) else self.store.card(parent)


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


def _of_fitting(data: Data, count: int | None) -> str:
    part = training_subset(data, count)
    return f"{splits.digest(part.train)} {splits.digest(part.held_out)} {len(data.classes)}"


def _of_test(data: Data) -> str:
    return splits.digest(data.test)
