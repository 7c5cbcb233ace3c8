"""The one place where catalog, stages and store meet: questions in, answers out.

Nothing is computed twice.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from robench.catalog.catalog import Catalog
from robench.contracts import (
    Attack,
    Data,
    Encoder,
    Probe,
    ProbeError,
    Progress,
    Run,
    Target,
    TrainingSet,
)
from robench.data.checks import check_data
from robench.data.splits import digest
from robench.engine.evaluate import EvaluationError, evaluate
from robench.engine.pretrain import TrainingError, pretrain
from robench.engine.probe import probe, rebuilt, trained
from robench.engine.stopping import at_safe_points
from robench.engine.subset import rows, training_subset
from robench.grid.questions import (
    Evaluation,
    Imported,
    Pretraining,
    Probing,
    Source,
    generator,
    key,
)
from robench.grid.records import Card, Cell, Examples, Labels, Outcome, Result
from robench.grid.spec import Spec, SpecError, nearest, parse_number, show
from robench.store.locks import Busy
from robench.store.provenance import gather, versions
from robench.store.store import Store
from robench.tensors.batchnorm import add_branch, branches, use_branch
from robench.tensors.features import fingerprint
from robench.tensors.memory import is_out_of_memory
from robench.tensors.modes import preserved_random_state
from robench.trust.flags import TEST_IMAGES

FAILURES = (TrainingError, ProbeError, EvaluationError)
"""What stops one cell and not the grid."""

PAUSE = 1.0
"""Seconds between two looks at what other processes compute."""


@dataclass
class Bench:
    """Answers questions on one machine: where the data, the device and the stored answers are.

    ``say`` is told, in a line, of each thing that was computed.
    """

    catalog: Catalog
    store: Store
    root: Path
    device: torch.device
    progress: Progress
    say: Callable[[str], None]
    failures: list[str] = field(default_factory=list)
    _data: dict[Spec, Data] = field(default_factory=dict)
    _encoders: dict[Source, tuple[Card, Encoder]] = field(default_factory=dict)
    _told: str = ""

    def answers(self, evaluations: Sequence[Evaluation], limit: int | None) -> Iterator[Result]:
        """Each evaluation's result on ``limit`` test images or more (None: all).

        One that fails is told of, kept in ``failures``, and left out; so is what rests on it.
        Raises DataError, before any compute, where a data set is needed and cannot be read.
        """
        known = {evaluation: self.known(evaluation, limit) for evaluation in evaluations}
        for name in self._needed([e for e, result in known.items() if result is None]):
            self.data(name)  # missing files show here, and not hours later
        numbers = {evaluation: f"[{i}/{len(known)}]" for i, evaluation in enumerate(known, 1)}
        hopeless: set[Source | Probing] = set()
        waiting = [evaluation for evaluation, result in known.items() if result is None]
        while waiting:
            others: dict[Evaluation, Busy] = {}
            for evaluation in waiting:
                if hopeless.isdisjoint({evaluation.probing, evaluation.probing.source}):
                    try:
                        known[evaluation] = self._answer(evaluation, limit, numbers[evaluation])
                    except Busy as error:
                        others[evaluation] = error
                    except FAILURES as error:
                        self._fail(evaluation, error, hopeless)
            self._wait(waiting, others)
            waiting = list(others)
        yield from (result for result in known.values() if result is not None)

    def known(self, evaluation: Evaluation, limit: int | None) -> Result | None:
        """The stored result, where it covers ``limit`` test images."""
        result = self.store.result(evaluation)
        if result is None:
            return None
        available = result.cell.counts.get(TEST_IMAGES, 0)
        enough = available if limit is None else min(limit, available)
        return result if result.n >= enough else None

    def _answer(self, evaluation: Evaluation, limit: int | None, number: str) -> Result:
        """The answer, which another process may have found by now.

        Raises Busy where one is about to.
        """
        self.store.check_lock(evaluation)
        try:
            return self.known(evaluation, limit) or self._compute(evaluation, limit, number)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise EvaluationError(f"memory does not suffice on {self.device}: {error}") from None

    def _fail(
        self, evaluation: Evaluation, error: Exception, hopeless: set[Source | Probing]
    ) -> None:
        self._encoders.clear()  # what broke a rule may have broken the encoder
        told = str(error)
        if isinstance(error, TrainingError):
            hopeless.add(evaluation.probing.source)
        else:
            told = f"{self._title(evaluation)}: {told}"
        if isinstance(error, ProbeError):
            hopeless.add(evaluation.probing)
        self.say(f"failed: {told}")
        self.failures.append(told)

    def _wait(self, waiting: Sequence[Evaluation], others: Mapping[Evaluation, Busy]) -> None:
        """Give other processes time, where they have all that is left to do."""
        if not others:
            return
        owners = "; ".join(sorted({str(error) for error in others.values()}))
        told = f"waiting for what others compute of {len(others)} cells: {owners}"
        if told != self._told:
            self._told = told
            self.say(told)
        if len(others) == len(waiting):
            time.sleep(PAUSE)

    def reporting(self) -> AbstractContextManager[object]:
        """Lock for writing the report, once no other process writes it."""
        while True:
            try:
                return self.store.report_lock()
            except Busy:
                time.sleep(PAUSE / 5)

    def data(self, name: Spec) -> Data:
        """The data set that a resolved spec describes, read once.

        Raises DataError where it cannot be read.
        """
        if name not in self._data:
            data = self.catalog.build("datasets", name).load(self.root, self.progress)
            check_data(data, self.catalog.label("datasets", name))
            self._data[name] = data
        return self._data[name]

    def encoder(self, source: Source) -> tuple[Card, Encoder]:
        """The encoder, in eval mode, on its evaluated branch; trained if need be.

        Raises Busy where another process trains it, and TrainingError for an imported one that is
        not in the zoo.
        """
        if source not in self._encoders:
            found = self._stored(source)
            if found is None:
                if isinstance(source, Imported):
                    raise TrainingError(
                        f"{key(source)} is not in {self.store.zoo}; `robench evaluate` on its "
                        "checkpoint imports it"
                    )
                with self.store.lock(source):
                    found = self._stored(source) or self._pretrain(source)
            card, weights = found
            # Fresh ones too: training may leave another memory format, and so other rounding.
            encoder = restore(self.catalog, card, weights)
            if isinstance(source, Pretraining):
                self._compare(card, source)
            # One at a time: the plan keeps what shares an encoder together.
            self._encoders = {source: (card, encoder.to(self.device))}
        return self._encoders[source]

    def _stored(self, source: Source) -> tuple[Card, dict[str, torch.Tensor]] | None:
        card = self.store.card(source)
        weights = None if card is None else self.store.encoder(card)
        return None if card is None or weights is None else (card, weights)

    def _compare(self, card: Card, question: Pretraining) -> None:
        if question.dataset in self._data:
            data = training_subset(self.data(question.dataset), question.recipe.images)
            method = self.catalog.component("methods", question.objective.name)
            if _training_sha256(data, method.uses_labels) != card.data_sha256:
                self.say(f"note: {card.source} has changed since {card.key} was trained on it")

    def classifier(self, probing: Probing) -> nn.Sequential:
        """Images to logits; fitted if need be.

        It is the encoder, or the probe's finetuned copy of it, and a linear layer. Raises Busy
        where another process fits it, or trains its encoder.
        """
        _, encoder = self.encoder(probing.source)
        classes = len(self.data(probing.dataset).classes)
        model = self._fitted(probing, encoder, classes)
        if model is None:
            with self.store.lock(probing):
                model = self._fitted(probing, encoder, classes) or self._fit(probing, encoder)
        return model.to(self.device)

    def _fitted(self, probing: Probing, encoder: Encoder, classes: int) -> nn.Sequential | None:
        weights = self.store.probe(probing)
        if weights is None:
            return None
        try:
            return rebuilt(self.probe(probing), encoder, classes, weights)
        except ProbeError as error:
            self.store.drop_probe(probing, str(error))
            return None

    def probe(self, probing: Probing) -> Probe:
        """The probe that a question asks for."""
        method = self.catalog.build("probes", probing.probe)
        assert isinstance(method, Probe)
        return method

    def labels(self, evaluation: Evaluation) -> Labels:
        """The names that a table prints for the evaluation."""
        probing, label = evaluation.probing, self.catalog.label
        target, source = label("datasets", probing.dataset), probing.source
        if isinstance(source, Imported):
            card = self.store.card(source)
            method = source.layout if card is None else card.method
            # What it was trained on is not known: it stands beside encoders of the same data.
            trained_on = target
            encoder = label("encoders", source.encoder, without=("normalize", "stem"))
        else:
            method, encoder = label("methods", source.objective), label("encoders", source.encoder)
            trained_on = label("datasets", source.dataset)
        return Labels(
            method=method,
            source=trained_on,
            target=target,
            encoder=encoder,
            probe=label("probes", probing.probe),
            attack=label("attacks", evaluation.attack, without=("norm", "eps")),
        )

    def _title(self, evaluation: Evaluation) -> str:
        labels = self.labels(evaluation)
        attack = " ".join(filter(None, (labels.attack, *radius(evaluation.attack))))
        return f"{labels.method} {labels.source} -> {labels.target}, {attack}"

    def _needed(self, evaluations: Sequence[Evaluation]) -> list[Spec]:
        names = []
        sources = dict.fromkeys(evaluation.probing.source for evaluation in evaluations)
        trained = {source: self.trained(source) for source in sources}
        for evaluation in evaluations:
            source = evaluation.probing.source
            if isinstance(source, Pretraining) and not trained[source]:
                names.append(source.dataset)
            names.append(evaluation.probing.dataset)
        return list(dict.fromkeys(names))

    def trained(self, source: Source) -> bool:
        """Whether the zoo has the encoder, whole."""
        return self._stored(source) is not None

    def _pretrain(self, question: Pretraining) -> tuple[Card, dict[str, torch.Tensor]]:
        data = training_subset(self.data(question.dataset), question.recipe.images)
        method = self.catalog.label("methods", question.objective)
        source = self.catalog.label("datasets", question.dataset)
        name = f"pretraining {method} on {source}, seed {question.seed}"
        with preserved_random_state():
            # torch's layers draw their first weights from the global state, and from nowhere else.
            torch.manual_seed(generator(question, "weights").initial_seed())
            encoder = self.catalog.build("encoders", question.encoder)
            objective = self.catalog.build_objective(question.objective, encoder)
        dice = generator(question, "training", self.device)
        images, labels = (torch.from_numpy(part).to(self.device) for part in _joined(data))
        known = TrainingSet(images, labels if objective.uses_labels else None)
        data_sha256 = _training_sha256(data, objective.uses_labels)
        about = {**self._about(), "data": data_sha256, "first weights": fingerprint(objective)}
        with at_safe_points() as stop:
            states = self.store.training(question, about, stop)
            try:
                losses = pretrain(
                    objective.to(self.device),
                    known,
                    question.recipe,
                    dice,
                    Run(self.progress, states, self.device),
                    name,
                )
            except TrainingError as error:
                latest = states.latest()
                kept = f"; the last good state is {latest}" if latest is not None else ""
                raise TrainingError(f"{error}{kept}") from None
        seconds = states.seconds
        exported = objective.exported()
        encoder = exported.encoder
        card = Card(
            key=key(question),
            method=method,
            source=source,
            encoder=self.catalog.label("encoders", question.encoder),
            question=question,
            width=encoder.width,
            parameters=sum(weights.numel() for weights in encoder.parameters()),
            branches=branches(encoder),
            evaluated_branch=exported.branch,
            losses=tuple(losses),
            seconds=round(seconds, 3),
            data_sha256=data_sha256,
            weights_sha256="",
            provenance=gather(self.device, question.recipe.precision),
        )
        weights = _on_cpu(encoder)
        card = self.store.save_encoder(card, weights)
        self.say(f"{name}: loss {losses[0]:.3f} to {losses[-1]:.3f} in {seconds:.0f} s")
        return card, weights

    def _fit(self, question: Probing, encoder: Encoder) -> nn.Sequential:
        data = training_subset(self.data(question.dataset), question.images)
        method = self.probe(question)
        dice = generator(question, "probe", self.device)
        about = {
            **self._about(),
            "data": f"{digest(data.train)} {digest(data.held_out)}",
            "encoder": fingerprint(encoder),
        }
        with at_safe_points() as stop:
            states = self.store.fitting(question, about, stop)
            fitted = probe(method, encoder, data, dice, Run(self.progress, states, self.device))
        weights = _on_cpu(trained(fitted, method))
        # What is evaluated is what would be read from disk.
        model = rebuilt(method, encoder, len(data.classes), weights)
        self.store.save_probe(question, weights)
        return model

    def _compute(self, question: Evaluation, limit: int | None, number: str) -> Result:
        card, _ = self.encoder(question.probing.source)
        model = self.classifier(question.probing)
        with self.store.lock(question):
            found = self.known(question, limit)
            return found or self._attack(question, limit, number, card, model)

    def _attack(
        self,
        question: Evaluation,
        limit: int | None,
        number: str,
        card: Card,
        model: nn.Sequential,
    ) -> Result:
        labels = self.labels(question)
        data = self.data(question.probing.dataset)
        before, kept, batch = self._begun(question)
        index = rows(len(data.test), limit)[kept:]
        attack = self.catalog.build("attacks", question.attack)
        assert isinstance(attack, Attack)
        norm, eps = radius(question.attack)
        title = self._title(question)
        about = {
            **self._about(),
            "data": digest(data.test),
            "encoder": card.weights_sha256,
            "probe": fingerprint(trained(model, self.probe(question.probing))),
        }
        rest = {"images": f"{kept} to {kept + len(index)}"}
        other = question.surrogate
        surrogate = None if other is None else self.classifier(other)
        states = self.store.attacking(question, about | rest)
        attempt = evaluate(
            Target(model, len(data.classes), model.get_submodule("encoder"), surrogate),
            attack,
            data.test,
            index,
            batch,
            lambda start: generator(question, f"attack {kept + start}", self.device),
            Run(self.progress, states, self.device),
            title,
        )
        seconds = states.seconds
        outcome, notes, counts = attempt.outcome, attempt.notes, Counter(attempt.counts)
        shown = slice(len(attempt.clean))
        examples: Examples | None = Examples(
            labels,
            norm,
            eps,
            data.classes,
            outcome.label[shown],
            attempt.clean,
            attempt.attacked,
            outcome.clean_prediction[shown],
            outcome.prediction[shown],
        )
        if before is not None:
            outcome = joined(before.outcome, outcome)
            notes = tuple(sorted({*before.cell.notes, *notes}))
            counts.update(before.cell.counts)
            counts[TEST_IMAGES] = len(data.test)
            examples = self.store.examples(before.cell)
            seconds += before.cell.seconds
        correct = int((outcome.prediction == outcome.label).sum())
        cell = Cell(
            key=key(question),
            labels=labels,
            norm=norm,
            eps=eps,
            seed=getattr(question.probing.source, "seed", 0),
            n=len(outcome.index),
            correct=correct,
            flags=(),
            notes=notes,
            counts=dict(counts),
            batch=attempt.batch if attempt.batch < question.batch else None,
            seconds=round(seconds, 3),
            evaluation=question,
            limit=limit,
            encoder_sha256=card.weights_sha256,
            probe_sha256=about["probe"],
            data_sha256=about["data"],
            outcome_sha256="",
            provenance=gather(self.device, "fp32"),
        )
        result = self.store.save_result(cell, outcome, examples)
        share = f"{100 * correct / cell.n:.1f}% of {cell.n} images"
        self.say(f"{number} {title}: {share}, {seconds:.1f} s")
        return result

    def _begun(self, question: Evaluation) -> tuple[Result | None, int, int]:
        """A stored result to go on from, the number of its images, and the batch size.

        An incomplete last batch would have other draws as a complete one: it starts again.
        """
        before = self.store.result(question)
        batch = question.batch if before is None else before.cell.batch or question.batch
        if before is None or before.n % batch:
            return None, 0, question.batch
        return before, before.n, batch

    def _about(self) -> dict[str, str]:
        """What a state's meaning depends on, whatever it is the state of."""
        return {"device": self.device.type, "torch": versions()["torch"]}


def find_card(store: Store, key: str, damages: Sequence[str] = ()) -> Card:
    """The card of the encoder with that key.

    Raises SpecError with the nearest keys where the zoo has none; ``damages`` go before them.
    """
    card = store.card_by_key(key)
    if card is None:
        known = [card.key for card in store.cards()]
        hint = nearest(key, known) if known else "it is empty; `robench run` fills it"
        raise SpecError(f"no encoder '{key}' in {store.zoo}; {' '.join([*damages, hint])}")
    return card


def restore(catalog: Catalog, card: Card, weights: dict[str, torch.Tensor]) -> Encoder:
    """The encoder of a card, in eval mode, on the branch that its features are taken from.

    Raises SpecError where the component of that name is not the one that was trained, or has no
    such branch.
    """
    spec = catalog.resolve("encoders", card.question.encoder)
    try:
        with preserved_random_state():
            _check_size(catalog, spec, weights)
            encoder = catalog.build("encoders", spec)
        assert isinstance(encoder, Encoder)
        for branch in card.branches[1:]:
            add_branch(encoder, branch, momentum=0.01)  # no momentum is used in eval mode
        encoder.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        raise SpecError(
            f"{card.key} was trained with another {card.encoder} than there is now "
            f"({str(error).splitlines()[-1].strip()}); rename the new one, or use another --zoo"
        ) from None
    try:
        use_branch(encoder, card.evaluated_branch)
    except ValueError as error:
        raise SpecError(f"{card.key}, whose features its card takes there: {error}") from None
    return encoder.eval()


def _check_size(catalog: Catalog, spec: Spec, weights: dict[str, torch.Tensor]) -> None:
    """Raises ValueError where a card, which may be anybody's, asks for more than its weights are.

    A component that cannot be drawn up without memory is not checked.
    """
    with suppress(RuntimeError, NotImplementedError), torch.device("meta"):
        drawn = catalog.build("encoders", spec).state_dict()
        needed, held = (sum(t.numel() for t in ts.values()) for ts in (drawn, weights))
        if needed > held:
            raise ValueError(f"it has {needed:,} numbers, the file {held:,}")


def radius(spec: Spec) -> tuple[str, str]:
    """An attack's norm and eps as one would type them, "" where it has none.

    An eps without a short decimal is said in steps of 1/255 where it is a number of those.
    """
    norm, eps = (show(spec.get(name)) if spec.has(name) else "" for name in ("norm", "eps"))
    if "/" in eps:
        steps = parse_number(eps) * 255
        eps = f"{steps}/255" if steps.denominator == 1 else eps
    return norm, eps


def joined(first: Outcome, then: Outcome) -> Outcome:
    """The outcomes of the first images and of those after them."""
    return Outcome(
        **{
            name: np.concatenate([array, getattr(then, name)])
            for name, array in vars(first).items()
        }
    )


def _on_cpu(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}


def _joined(data: Data) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images and labels of what encoders are trained on."""
    parts = data.train, data.held_out
    images, labels = [part.images for part in parts], [part.labels for part in parts]
    return np.concatenate(images), np.concatenate(labels)


def _training_sha256(data: Data, with_labels: bool) -> str:
    images, labels = _joined(data)
    found = hashlib.sha256(images.tobytes())
    if with_labels:
        found.update(labels.tobytes())
    return found.hexdigest()
