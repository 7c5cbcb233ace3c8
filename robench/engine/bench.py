"""Answers one question, from disk or by computing it: catalog, stages and store meet here."""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from robench.catalog.catalog import Catalog
from robench.contracts import (
    Attack,
    Data,
    DataError,
    Encoder,
    Objective,
    Probe,
    ProbeData,
    ProbeError,
    Progress,
    Run,
    Target,
    Teacher,
    TrainingSet,
)
from robench.data.sources import Sources
from robench.engine.evaluate import EvaluationError, evaluate
from robench.engine.faults import ContractError, blame, broken, check_encoder, not_finite, shown
from robench.engine.fit import fit_of
from robench.engine.known import Known, training_set
from robench.engine.noise import mislabelled
from robench.engine.pretrain import TrainingError, pretrain
from robench.engine.probe import probe, rebuilt, trained
from robench.engine.restore import restore, restore_head, restore_projector
from robench.engine.stopping import at_safe_points
from robench.engine.subset import rows, training_subset
from robench.grid.questions import (
    Evaluation,
    Imported,
    Pretraining,
    Probing,
    Question,
    Source,
    generator,
    key,
)
from robench.grid.records import Card, Cell, Identity, Outcome, Pictures, Result, radius
from robench.grid.spec import Spec, SpecError
from robench.report.names import proper
from robench.store.checkpoints import FileCheckpoints, Loaded
from robench.store.formats import Weights
from robench.store.locks import Busy
from robench.store.provenance import gather, versions
from robench.store.store import Store, StoreError
from robench.tensors.batchnorm import branches
from robench.tensors.features import fingerprint, to_images
from robench.tensors.memory import is_out_of_memory
from robench.tensors.modes import evaluating, preserved_random_state, usual_modes
from robench.tensors.ranks import rank, share, size
from robench.trust.flags import PROBE_IMAGES, PUBLISHED_IMAGES, TEST_IMAGES, WRONG_LABELS

if TYPE_CHECKING:
    from robench.engine.places import Work

FAILURES = (TrainingError, ProbeError, EvaluationError)
"""Errors that stop one cell and not the grid."""

_TRIED = 2  # images that a new encoder and classifier are tried on


@dataclass
class Bench:
    """Answers questions on one machine. ``say`` gets a line for each thing that was computed.

    With ``older_code``, stored answers of other code than today's are accepted.
    An exception of a component is one line, and with ``debug`` its traceback too. ``work``
    is what other processes need to do the same.
    """

    catalog: Catalog
    store: Store
    root: Path
    device: torch.device
    progress: Progress
    say: Callable[[str], None]
    older_code: bool = False
    debug: bool = False
    work: "Work | None" = None
    _encoders: dict[Source, Encoder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        build, code = self.catalog.build, self.catalog.code
        self.sources = Sources(
            partial(build, "datasets"),
            lambda name: code("datasets", name).identity,
            self.root,
            self.progress,
            memory=self.store.zoo / "data.json",
            stage=partial(self.stage, DataError, "datasets"),
        )
        self.known = Known(self.catalog, self.store, self.say, self.sources, self.older_code)

    def data(self, name: Spec) -> Data:
        """The data set that a resolved spec describes, read once.

        Raises DataError where it cannot be read.
        """
        return self.sources.load(name)

    def encoder(self, source: Source) -> Encoder:
        """The encoder, in eval mode, on its evaluated branch; trained if need be.

        Raises Busy if another process trains it, and TrainingError for an imported one that is not
        in the zoo.
        """
        if source not in self._encoders:
            found = self.known.encoder(source)
            if found is None:
                if isinstance(source, Imported):
                    raise TrainingError(
                        f"{key(source)} is not in {self.store.zoo}; `robench evaluate` on its "
                        "checkpoint imports it"
                    )
                if source.teacher is not None:
                    self.encoder(source.teacher)  # in the zoo, before this one is locked
                with (
                    self.store.lock(source),
                    self.stage(TrainingError, "methods", source.objective),
                ):
                    found = self.known.encoder(source) or self._pretrain(source)
            with self.stage(TrainingError, "encoders", source.encoder):
                # Fresh ones too: training may leave another memory format, and so other rounding.
                encoder = restore(self.catalog, *found)
            # One at a time: the plan keeps what shares an encoder together.
            self._encoders = {source: encoder.to(self.device)}
        return self._encoders[source]

    def classifier(self, probing: Probing) -> nn.Sequential:
        """Images to logits: the encoder, or the probe's finetuned copy of it, and a layer on it.

        Fitted if need be. Raises Busy if another process fits it, or trains its encoder.
        """
        encoder, data = self.encoder(probing.source), self.data(probing.dataset)
        images, classes = self._tried(data), len(data.classes)
        with self.stage(ProbeError, "encoders", probing.source.encoder):
            check_encoder(encoder, images)
        with self.stage(ProbeError, "probes", probing.probe):
            weights = self._read_probe(probing)
            if weights is None:
                with self.store.lock(probing):
                    weights = self._read_probe(probing)
                    if weights is None:
                        weights = self._fit(probing, encoder, classes)
            model = rebuilt(self.probe(probing), encoder, classes, weights).to(self.device)
            with torch.no_grad(), evaluating(model):
                logits = model(images[:1])
            if not isinstance(logits, Tensor) or logits.shape != (1, classes):
                raise ContractError(
                    f"the probe gives {shown(logits)} for 1 image of {classes} classes"
                )
            return model

    def result(self, evaluation: Evaluation, limit: int | None) -> Result:
        """The result on ``limit`` test images or more (None: all), computed if need be.

        Raises Busy if another process computes it or a parent of it.
        """
        if (found := self.known.result(evaluation, limit)) is not None:
            return found
        with (
            self.store.lock(evaluation),
            self.stage(EvaluationError, "attacks", evaluation.attack),
        ):
            self.data(evaluation.probing.dataset)
            found = self.known.result(evaluation, limit)
            return found or self._attack(evaluation, limit)

    def check(self, evaluation: Evaluation) -> None:
        """Raise EvaluationError for an attack that cannot do the images, before any compute."""
        height, width = self.data(evaluation.probing.dataset).test.images.shape[2:]
        with self.stage(EvaluationError, "attacks", evaluation.attack):
            attack = self.catalog.build("attacks", evaluation.attack)
            if reason := attack.refusal(height, width):
                raise EvaluationError(reason)

    def forget(self) -> None:
        """Read encoders from disk again: a failure may have changed the one in memory."""
        self._encoders.clear()

    def title(self, question: Question) -> str:
        """The question in a few words; its progress is shown under them."""
        match question:
            case Imported():
                return key(question)
            case Pretraining():
                method = self.catalog.label("methods", question.objective)
                source = self.catalog.label("datasets", question.dataset)
                return f"pretraining {method} on {source}, seed {question.seed}"
            case Probing():
                labels = self.store.labels(Evaluation(question, Spec("clean")))
                return f"fitting {labels.probe} on {labels.target}, {labels.method} {labels.source}"
        labels = self.store.labels(question)
        attack = " ".join(filter(None, (labels.attack, *radius(question.attack))))
        return f"{labels.method} {labels.source} -> {labels.target}, {attack}"

    def say_traceback(self) -> None:
        """Show the traceback of the exception at hand, with ``debug``."""
        if self.debug:
            self.say(traceback.format_exc())

    def probe(self, probing: Probing) -> Probe:
        """The probe that a question asks for."""
        method = self.catalog.build("probes", probing.probe)
        assert isinstance(method, Probe)
        return method

    # --- computing

    @contextmanager
    def stage(self, failure: type[Exception], kind: str, spec: Spec) -> Iterator[None]:
        """Raise ``failure``, in one line, for whatever a component raises in the block."""
        try:
            with usual_modes():
                yield
        except (Busy, DataError, StoreError, *FAILURES):
            raise
        except (ContractError, SpecError) as error:
            raise failure(str(error)) from error
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise failure(f"out of memory on {self.device}: {error}") from error
            raise failure(blame(error, self.catalog, kind, spec.name)) from error

    def _tried(self, data: Data) -> Tensor:
        return to_images(data.test.images[:_TRIED], self.device)

    def _read_probe(self, probing: Probing) -> Weights | None:
        return self.store.probe(probing) if self.known.fitted(probing) else None

    def train(self, question: Pretraining) -> tuple[Objective, list[float], FileCheckpoints]:
        """Train an objective, together with the other ranks if there are any, and keep nothing.

        Returns it, the mean loss of each epoch, and its checkpoints.
        """
        images, labels = training_set(
            training_subset(self.data(question.dataset), question.recipe.images)
        )
        name = self.title(question)
        classes = len(self.data(question.dataset).classes)
        teacher = None if question.teacher is None else self._teacher(question.teacher)
        with preserved_random_state():
            # torch's layers draw their first weights from the global state, and from nowhere else.
            torch.manual_seed(generator(question, "weights").initial_seed())
            encoder = self.catalog.build("encoders", question.encoder)
            objective = self.catalog.build_objective(question.objective, encoder, classes, teacher)
            check_encoder(encoder, self._tried(self.data(question.dataset)).cpu())
        with at_safe_points() as stop:
            about = self._about(self.known.identity(question)) | {
                "first weights": fingerprint(objective)
            }
            states = self.store.checkpoints(question, about, stop)
            known = TrainingSet(
                torch.from_numpy(images).to(self.device),
                torch.from_numpy(labels).to(self.device) if objective.uses_labels else None,
            )
            run = Run(self.progress, states if rank() == 0 else Loaded(states), self.device)
            draws = generator(question, "training", self.device)
            try:
                losses = pretrain(
                    objective.to(self.device), known, question.recipe, draws, run, name
                )
            except TrainingError as error:
                latest = states.latest()
                kept = f"; the last good state is {latest}" if latest is not None else ""
                raise TrainingError(f"{error}{kept}") from None
        return objective, losses, states

    def _pretrain(self, question: Pretraining) -> tuple[Card, Weights]:
        share(question)
        objective, losses, states = self.train(question)
        identity, name = self.known.identity(question), self.title(question)
        made = gather(self.device, question.recipe.precision)
        exported = objective.exported()
        card = Card(
            question=question,
            identity=identity,
            width=exported.encoder.width,
            parameters=sum(weights.numel() for weights in exported.encoder.parameters()),
            branches=branches(exported.encoder),
            evaluated_branch=exported.branch,
            losses=tuple(losses),
            seconds=round(states.seconds, 3),
            weights_sha256="",
            provenance=replace(made, device=f"{size()} x {made.device}") if size() > 1 else made,
            images=self._trained_on(question),
        )
        weights = _on_cpu(exported.encoder)
        if lost := not_finite(weights):
            raise TrainingError(f"{name}: the trained {lost} has numbers that are not finite")
        heads = {
            f"{part}.{weight}": tensor
            for part in ("head", "projector")
            if (module := getattr(exported, part)) is not None
            for weight, tensor in _on_cpu(module).items()
        }
        card = self.store.save_encoder(card, weights, heads)
        loss = f"loss {losses[0]:.3f} to {losses[-1]:.3f}"
        self.say(f"{proper(name)}: {loss} in {card.seconds:.0f} s")
        return card, weights

    def _teacher(self, source: Source) -> Teacher:
        """An encoder of the zoo, with its projector if it was trained here."""
        encoder, card = self.encoder(source), self.store.card(source)
        if card is None or not isinstance(source, Pretraining):
            return Teacher(encoder)
        classes = len(self.data(source.dataset).classes)
        heads = self.store.heads(card)
        return Teacher(encoder, restore_projector(self.catalog, source, classes, heads))

    def _head(self, question: Probing) -> nn.Module | None:
        """The classifier that the encoder was trained with, where that was on the same data."""
        source, card = question.source, self.store.card(question.source)
        same = isinstance(source, Pretraining) and source.dataset == question.dataset
        return restore_head(self.store.heads(card)) if card is not None and same else None

    def _trained_on(self, question: Pretraining) -> int:
        data = training_subset(self.data(question.dataset), question.recipe.images)
        return len(data.train) + len(data.held_out)

    def _fit(self, question: Probing, encoder: Encoder, classes: int) -> Weights:
        data, wrong = training_subset(self.data(question.dataset), question.images), None
        if question.noise is not None:
            data, wrong = mislabelled(data, question.noise)
        method, identity = self.probe(question), self.known.identity(question)
        # A probe on features has few safe points, or none: there a signal acts at once.
        with at_safe_points() if method.passes() else nullcontext(lambda save: None) as stop:
            states = self.store.checkpoints(question, self._about(identity), stop)
            draws = generator(question, "probe", self.device)
            title = self.title(question)
            run = Run(lambda items, _: self.progress(items, title), states, self.device)
            given = ProbeData.of(data, self._head(question))
            model = probe(method, encoder, given, draws, run)
            weights = _on_cpu(trained(model, method))
        rebuilt(method, encoder, classes, weights)  # ones that do not fit are not stored
        if lost := not_finite(weights):
            what = f"fitted {lost} with numbers that are not finite"
            raise ProbeError(broken(method, "fit", what))
        fit = fit_of(method, model, given, run)
        if wrong is not None:
            fit = replace(fit, counts={**fit.counts, WRONG_LABELS: wrong})
        self.store.save_probe(question, identity, weights, fit)
        return weights

    def _attack(self, question: Evaluation, limit: int | None) -> Result:
        model = self.classifier(question.probing)
        data = self.data(question.probing.dataset)
        identity = self.known.identity(question)
        before, batch = self._begun(question)
        kept = 0 if before is None else before.n
        index = rows(len(data.test), limit)[kept:]
        attack = self.catalog.build("attacks", question.attack)
        assert isinstance(attack, Attack)
        about = self._about(identity) | {"images": f"{kept} to {kept + len(index)}"}
        surrogate = None
        if question.surrogate is not None:
            surrogate = self.classifier(question.surrogate)
        states = self.store.checkpoints(question, about)
        attempt = evaluate(
            Target(model, len(data.classes), model.get_submodule("encoder"), surrogate),
            attack,
            data.test,
            index,
            batch,
            lambda start: generator(question, f"attack {kept + start}", self.device),
            Run(self.progress, states, self.device, {} if before is None else before.counts),
            self.title(question),
        )
        outcome, notes, counts = attempt.outcome, set(attempt.notes), Counter(attempt.counts)
        seconds = states.seconds
        pictures: Pictures | None = Pictures(attempt.clean, attempt.attacked, data.classes)
        if before is not None:
            outcome, pictures = _joined(before.outcome, outcome), before.pictures
            notes.update(before.notes)
            counts.update(before.counts)
            counts[TEST_IMAGES] = len(data.test)
            seconds += before.cell.seconds
        fitted, known = self.store.fitted(question.probing), len(data.train) + len(data.held_out)
        counts[PROBE_IMAGES] = min(question.probing.images or known, known)
        if published := self.catalog.component("datasets", question.probing.dataset.name).published:
            counts[PUBLISHED_IMAGES] = published
        if fitted is not None and fitted.fit is not None:
            notes.update(fitted.fit.notes)
            counts = Counter({**counts, **fitted.fit.counts})
        cell = Cell(
            evaluation=question,
            identity=identity,
            limit=limit,
            notes=tuple(sorted(notes)),
            counts=dict(counts),
            seconds=round(seconds, 3),
            outcome_sha256="",
            provenance=gather(self.device, "fp32"),
            batch=attempt.batch if attempt.batch < question.batch else None,
        )
        return self.store.save_result(cell, outcome, pictures)

    def _begun(self, question: Evaluation) -> tuple[Result | None, int]:
        """A stored result to go on from, and the batch size.

        An incomplete last batch has other draws than a complete one: it starts again.
        """
        before = self.known.unchanged(question)
        batch = question.batch if before is None else before.cell.batch or question.batch
        if before is None or before.n % batch:
            return None, question.batch
        return before, batch

    def _about(self, identity: Identity) -> dict[str, str]:
        """The settings that a checkpoint is valid for."""
        return {
            "device": self.device.type,
            "torch": versions()["torch"],
            "data": identity.data,
            "weights": " ".join(identity.parents),
            **dict(identity.code),
        }


def _joined(first: Outcome, then: Outcome) -> Outcome:
    """The outcomes of the first images and of those after them."""
    columns = {
        name: np.concatenate([column, getattr(then, name)]) for name, column in vars(first).items()
    }
    return Outcome(**columns)


def _on_cpu(module: nn.Module) -> Weights:
    return {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}
