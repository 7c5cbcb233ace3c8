"""The one place where catalog, stages and store meet: questions in, answers out.

Nothing is computed twice.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from robench.answers import Card, Cell, Examples, Labels, Result
from robench.catalog import Catalog
from robench.contracts import Attack, Data, Encoder, Probe, Progress, Split
from robench.provenance import gather
from robench.questions import Evaluation, Pretraining, Probing, generator, key
from robench.sources.checks import check_data
from robench.spec import SpecError, nearest, parse, parse_number, show
from robench.stages.evaluate import EvaluationError, evaluate
from robench.stages.pretrain import TrainingError, pretrain
from robench.stages.probe import ProbeError, probe
from robench.stages.subset import rows, training_subset
from robench.store import Store
from robench.tensors.batchnorm import CLEAN, add_adversarial_branch, branches, use_branch
from robench.tensors.features import fingerprint
from robench.tensors.modes import preserved_random_state
from robench.trust.review import review

FAILURES = (TrainingError, ProbeError, EvaluationError)
"""What stops one cell and not the grid."""


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
    _data: dict[str, Data] = field(default_factory=dict)
    _encoders: dict[Pretraining, tuple[Card, Encoder]] = field(default_factory=dict)

    def answers(self, evaluations: Sequence[Evaluation]) -> Iterator[Result]:
        """Each evaluation's result, from disk where it is known.

        One that fails is told of, kept in ``failures``, and left out; so is what rests on it.
        Raises DataError, before any compute, where a data set is needed and cannot be read.
        """
        known = {evaluation: self.store.result(evaluation) for evaluation in evaluations}
        for name in self._needed([e for e, result in known.items() if result is None]):
            self.data(name)  # missing files show here, and not hours later
        hopeless: set[Pretraining | Probing] = set()
        for number, (evaluation, result) in enumerate(known.items(), 1):
            lost = not hopeless.isdisjoint({evaluation.probing, evaluation.probing.pretraining})
            if result is None and not lost:
                try:
                    result = self._compute(evaluation, f"[{number}/{len(known)}]")
                except FAILURES as error:
                    self._encoders.clear()  # what broke a rule may have broken the encoder
                    told = str(error)
                    if isinstance(error, TrainingError):
                        hopeless.add(evaluation.probing.pretraining)
                    else:
                        told = f"{self._title(evaluation)}: {told}"
                    if isinstance(error, ProbeError):
                        hopeless.add(evaluation.probing)
                    self.say(f"failed: {told}")
                    self.failures.append(told)
            if result is not None:
                yield result

    def data(self, name: str) -> Data:
        """The data set that a resolved spec describes, read once.

        Raises DataError where it cannot be read.
        """
        if name not in self._data:
            data = self.catalog.build("datasets", name).load(self.root, self.progress)
            check_data(data, self.catalog.label("datasets", name))
            self._data[name] = data
        return self._data[name]

    def encoder(self, pretraining: Pretraining) -> tuple[Card, Encoder]:
        """The encoder, in eval mode, on its evaluated branch; trained if need be."""
        if pretraining not in self._encoders:
            card = self.store.card(pretraining)
            weights = None if card is None else self.store.encoder(card)
            if card is None or weights is None:
                card, weights = self._pretrain(pretraining)
            # Fresh ones too: training may leave another memory format, and so other rounding.
            encoder = restore(self.catalog, card, weights)
            self._compare(card, pretraining)
            # One at a time: the plan keeps what shares an encoder together.
            self._encoders = {pretraining: (card, encoder.to(self.device))}
        return self._encoders[pretraining]

    def _compare(self, card: Card, question: Pretraining) -> None:
        if question.dataset in self._data:
            data = training_subset(self.data(question.dataset), question.recipe.images)
            if hashlib.sha256(_all_images(data).tobytes()).hexdigest() != card.data_sha256:
                self.say(f"note: {card.source} has changed since {card.key} was trained on it")

    def classifier(self, probing: Probing) -> nn.Module:
        """The fitted probe, features to logits; fitted if need be."""
        _, encoder = self.encoder(probing.pretraining)
        fitting = {
            "weight": (len(self.data(probing.dataset).classes), encoder.width),
            "bias": (len(self.data(probing.dataset).classes),),
        }
        weights = self.store.probe(probing)
        if weights is not None:
            shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
            if shapes != fitting:
                self.store.drop_probe(probing, f"it has shapes {shapes}, expected {fitting}")
                weights = None
        if weights is None:
            weights = self._fit(probing, encoder, fitting)
        with torch.device("meta"):
            layer = nn.Linear(encoder.width, fitting["bias"][0])
        layer.load_state_dict(weights, assign=True)
        return layer.to(self.device).eval()

    def labels(self, evaluation: Evaluation) -> Labels:
        """The names that a table prints for the evaluation."""
        probing, label = evaluation.probing, self.catalog.label
        return Labels(
            method=label("methods", probing.pretraining.objective),
            source=label("datasets", probing.pretraining.dataset),
            target=label("datasets", probing.dataset),
            encoder=label("encoders", probing.pretraining.encoder),
            probe=label("probes", probing.probe),
            attack=label("attacks", evaluation.attack, without=("norm", "eps")),
        )

    def _title(self, evaluation: Evaluation) -> str:
        labels = self.labels(evaluation)
        attack = " ".join(filter(None, (labels.attack, *radius(evaluation.attack))))
        return f"{labels.method} {labels.source} -> {labels.target}, {attack}"

    def _needed(self, evaluations: Sequence[Evaluation]) -> list[str]:
        names = []
        trainings = dict.fromkeys(evaluation.probing.pretraining for evaluation in evaluations)
        trained = {pretraining: self.trained(pretraining) for pretraining in trainings}
        for evaluation in evaluations:
            pretraining = evaluation.probing.pretraining
            if not trained[pretraining]:
                names.append(pretraining.dataset)
            names.append(evaluation.probing.dataset)
        return list(dict.fromkeys(names))

    def trained(self, pretraining: Pretraining) -> bool:
        """Whether the zoo has the encoder, whole."""
        card = self.store.card(pretraining)
        return card is not None and self.store.encoder(card) is not None

    def _pretrain(self, question: Pretraining) -> tuple[Card, dict[str, torch.Tensor]]:
        data = training_subset(self.data(question.dataset), question.recipe.images)
        images = _all_images(data)
        method = self.catalog.label("methods", question.objective)
        source = self.catalog.label("datasets", question.dataset)
        name = f"pretraining {method} on {source}, seed {question.seed}"
        with preserved_random_state():
            # torch's layers draw their first weights from the global state, and from nowhere else.
            torch.manual_seed(generator(question, "weights").initial_seed())
            encoder = self.catalog.build("encoders", question.encoder)
            objective = self.catalog.build_objective(question.objective, encoder)
        dice = generator(question, "training", self.device)
        pixels = torch.from_numpy(images).to(self.device)
        start = time.perf_counter()
        losses = pretrain(
            objective.to(self.device), pixels, question.recipe, dice, self.progress, name
        )
        seconds = time.perf_counter() - start
        card = Card(
            key=key(question),
            method=method,
            source=source,
            encoder=self.catalog.label("encoders", question.encoder),
            pretraining=question,
            width=encoder.width,
            parameters=sum(weights.numel() for weights in encoder.parameters()),
            branches=branches(encoder),
            evaluated_branch=CLEAN,
            losses=tuple(losses),
            seconds=round(seconds, 3),
            data_sha256=hashlib.sha256(images.tobytes()).hexdigest(),
            weights_sha256="",
            provenance=gather(self.device, question.recipe.precision),
        )
        weights = _on_cpu(encoder)
        card = self.store.save_encoder(card, weights)
        self.say(f"{name}: loss {losses[0]:.3f} to {losses[-1]:.3f} in {seconds:.0f} s")
        return card, weights

    def _fit(
        self, question: Probing, encoder: Encoder, fitting: dict[str, tuple[int, ...]]
    ) -> dict[str, torch.Tensor]:
        data = training_subset(self.data(question.dataset), question.images)
        method = self.catalog.build("probes", question.probe)
        assert isinstance(method, Probe)
        dice = generator(question, "probe", self.device)
        weights = _on_cpu(probe(method, encoder, data, dice, self.progress))
        shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        if shapes != fitting:
            raise ProbeError(
                f"{type(method).__name__} gave a classifier with {shapes or 'no weights'}; "
                f"a linear one of these features has {fitting}"
            )
        self.store.save_probe(question, weights)
        return weights

    def _compute(self, question: Evaluation, number: str) -> Result:
        labels = self.labels(question)
        card, encoder = self.encoder(question.probing.pretraining)
        classifier = self.classifier(question.probing)
        data = self.data(question.probing.dataset)
        index = rows(len(data.test), question.limit)
        attack = self.catalog.build("attacks", question.attack)
        assert isinstance(attack, Attack)
        norm, eps = radius(question.attack)
        title = self._title(question)
        start = time.perf_counter()
        attempt = evaluate(
            nn.Sequential(encoder, classifier),
            attack,
            data.test,
            index,
            question.batch,
            len(data.classes),
            lambda batch: generator(question, f"attack {batch}", self.device),
            self.progress,
            title,
        )
        seconds = time.perf_counter() - start
        outcome = attempt.outcome
        correct = int((outcome.attacked_prediction == outcome.label).sum())
        cell = Cell(
            key=key(question),
            labels=labels,
            norm=norm,
            eps=eps,
            seed=question.probing.pretraining.seed,
            n=len(index),
            correct=correct,
            flags=(),
            notes=attempt.notes,
            counts=attempt.counts,
            seconds=round(seconds, 3),
            evaluation=question,
            encoder_sha256=card.weights_sha256,
            probe_sha256=fingerprint(classifier),
            data_sha256=_sha256(data.test, index),
            outcome_sha256="",
            provenance=gather(self.device, "fp32"),
        )
        (cell,) = (result.cell for result in review([Result(cell, outcome)]))
        shown = slice(len(attempt.clean))
        examples = Examples(
            labels,
            cell.norm,
            cell.eps,
            data.classes,
            outcome.label[shown],
            attempt.clean,
            attempt.attacked,
            outcome.clean_prediction[shown],
            outcome.attacked_prediction[shown],
        )
        result = self.store.save_result(cell, outcome, examples)
        share = f"{100 * correct / len(index):.1f}% of {len(index)} images"
        self.say(f"{number} {title}: {share}, {seconds:.1f} s")
        return result


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

    Raises SpecError where the component of that name is not the one that was trained.
    """
    with preserved_random_state():
        encoder = catalog.build("encoders", card.pretraining.encoder)
    assert isinstance(encoder, Encoder)
    if len(card.branches) > 1:
        add_adversarial_branch(encoder, momentum=0.01)  # no momentum is used in eval mode
    try:
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        raise SpecError(
            f"{card.key} was trained with another {card.encoder} than there is now "
            f"({str(error).splitlines()[-1].strip()}); rename the new one, or use another --zoo"
        ) from None
    try:
        use_branch(encoder, card.evaluated_branch)
    except ValueError as error:
        raise SpecError(f"{card.key}, whose features its card takes there: {error}") from None
    return encoder.eval()


def radius(attack: str) -> tuple[str, str]:
    """An attack's norm and eps as one would type them, "" where it has none.

    An eps without a short decimal is said in steps of 1/255 where it is a number of those.
    """
    spec = parse(attack)
    norm, eps = (show(spec.get(name)) if spec.has(name) else "" for name in ("norm", "eps"))
    if "/" in eps:
        steps = parse_number(eps) * 255
        eps = f"{steps}/255" if steps.denominator == 1 else eps
    return norm, eps


def _on_cpu(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}


def _all_images(data: Data) -> npt.NDArray[np.uint8]:
    return np.concatenate([data.train.images, data.held_out.images])


def _sha256(split: Split, index: npt.NDArray[np.int64]) -> str:
    digest = hashlib.sha256(np.asarray(split.images[index]).tobytes())
    digest.update(np.asarray(split.labels[index]).tobytes())
    return digest.hexdigest()
