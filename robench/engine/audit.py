"""Audit one encoder of the zoo: every check on its classifier, with the evidence for each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn

from robench.contracts import Attack, Data, Encoder, ProbeData, ProbeError, Run, Target
from robench.engine import evidence
from robench.engine.bench import FAILURES, Bench
from robench.engine.evaluate import Attempt, EvaluationError, evaluate
from robench.engine.probe import probe
from robench.engine.restore import restore
from robench.engine.subset import rows, training_subset
from robench.grid.questions import Evaluation, Probing, generator
from robench.grid.records import Card, radius
from robench.grid.spec import Spec, SpecError, Value
from robench.probes.linear import Linear
from robench.tensors.features import to_images
from robench.tensors.modes import evaluating, full_precision, preserved_random_state
from robench.trust import flags
from robench.trust.review import beaten, far_below, leaves_fewer, misses_grey, over, own_flags

CALLS = 1400  # of which all agree once in a thousand, if each is another with a chance of 0.005
HUGE = Fraction(1, 2)  # every image can be made plain grey within it
QUERIES = 500  # a tenth of what AutoAttack gives Square, which takes minutes where many stand
FROZEN_IMAGES = 512  # enough to see whether a probe leaves its encoder alone
SURROGATE_IMAGES = 2048  # for the surrogate's probe, which is not stored


class Verdict(Enum):
    """Nothing found; a fault that makes numbers doubtful; a fault that leaves none."""

    OK = "ok"
    FLAG = "FLAG"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Finding:
    """One check's line, with the numbers that it rests on."""

    check: str
    verdict: Verdict
    evidence: str

    def __str__(self) -> str:
        return f"{self.verdict.value:5}  {self.check:13}  {self.evidence}"


def summary(findings: Sequence[Finding]) -> str:
    """All findings in one line."""
    found = [finding for finding in findings if finding.verdict is not Verdict.OK]
    if not found:
        return f"verdict: nothing found in {len(findings)} checks"
    names = ", ".join(finding.check for finding in found)
    return f"verdict: {len(found)} of {len(findings)} checks found something: {names}"


class Tried(NamedTuple):
    """An attack, and what it did to the test images."""

    attack: Attack
    attempt: Attempt

    @property
    def share(self) -> str:
        """The accuracy after the attack, in percent."""
        return f"{100 * self.attempt.outcome.right.mean():.1f}%"


@dataclass
class Subject:
    """The classifier ``model`` that answers ``probing``, and the rows ``index`` of test images."""

    bench: Bench
    probing: Probing
    eps: Fraction
    data: Data
    index: npt.NDArray[np.int64]
    model: nn.Module
    attacks: dict[Spec, Tried] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        """The bench's progress and device, without checkpoints."""
        return Run(self.bench.progress, device=self.bench.device)

    @property
    def first_batch(self) -> Tensor:
        """The first test images, [B, 3, H, W] in [0, 1]."""
        first = self.index[: Evaluation.batch]
        return to_images(self.data.test.images[first], self.bench.device)

    def logits(self, batches: Iterable[Tensor]) -> Tensor:
        """The model's logits of images in batches, as an evaluation computes them."""
        with torch.no_grad(), evaluating(self.model), full_precision():
            return torch.cat([self.model(batch) for batch in batches])

    def question(self, name: str, **arguments: Value) -> Evaluation:
        """The evaluation of an attack in linf, at the audit's eps by default."""
        given = {"eps": self.eps, "norm": "linf", **arguments}
        spec = self.bench.catalog.resolve("attacks", Spec(name, tuple(given.items())))
        return Evaluation(self.probing, spec)

    def generator(self, question: Evaluation, start: int) -> Generator:
        """The generator of the batch at ``start``: that of a run."""
        return generator(question, f"attack {start}", self.bench.device)

    def tried(self, name: str, surrogate: nn.Module | None = None, **arguments: Value) -> Tried:
        """Attack the test images, once. Raises EvaluationError for an attack that breaks a rule."""
        question = self.question(name, **arguments)
        spec = question.attack
        if spec not in self.attacks:
            attack = self.bench.catalog.build("attacks", spec)
            target = Target(self.model, len(self.data.classes), surrogate=surrogate)
            seeded = partial(self.generator, question)
            batch, images = question.batch, (self.data.test, self.index)
            with self.bench.stage(EvaluationError, "attacks", spec):
                attempt = evaluate(target, attack, *images, batch, seeded, self.run, str(spec))
            self.attacks[spec] = Tried(attack, attempt)
        return self.attacks[spec]


Check = Callable[[Subject], tuple[bool, str]]
"""Whether something is wrong, and the evidence."""


def audit(
    bench: Bench, card: Card, probing: Probing, limit: int, eps: Fraction, skip: Sequence[str] = ()
) -> Iterator[Finding]:
    """Run every check on an encoder of the zoo, but for those to ``skip``: a line for each.

    Attacks are within ``eps`` in linf, on ``limit`` test images. Only the probe is stored, as a run
    stores it. Raises DataError for a data set that cannot be read, and SpecError for components
    that are not available.
    """
    with preserved_random_state():  # a random layer draws from there
        weights = bench.store.encoder(card)
        if weights is None:
            yield Finding("weights", Verdict.ERROR, "missing, or not with the card's hash")
            return
        yield Finding("weights", Verdict.OK, f"SHA-256 {card.weights_sha256[:16]}…, as on the card")
        data = bench.data(probing.dataset)
        encoder = restore(bench.catalog, card, weights).to(bench.device)
        for finding in (_eval_mode(encoder), _frozen(bench, probing, data, encoder)):
            yield finding
            if finding.verdict is not Verdict.OK:
                return
        try:
            model = bench.classifier(probing)
        except FAILURES as error:
            bench.say_traceback()
            yield Finding("probe", Verdict.ERROR, str(error))
            return
        subject = Subject(bench, probing, eps, data, rows(len(data.test), limit), model)
        for name, check in CHECKS.items():
            if name not in skip:
                yield _found(name, check, subject)


def _found(name: str, check: Check, subject: Subject) -> Finding:
    try:
        wrong, seen = check(subject)
        return Finding(name, Verdict.FLAG if wrong else Verdict.OK, seen)
    except FAILURES as error:
        subject.bench.say_traceback()
        return Finding(name, Verdict.ERROR, str(error))


def _eval_mode(encoder: Encoder) -> Finding:
    for name, part in encoder.named_modules():
        if part.training:
            seen = f"in train mode after eval(): {type(part).__name__} '{name}'"
            return Finding("eval mode", Verdict.ERROR, seen)
    return Finding("eval mode", Verdict.OK, "all parts")


def _frozen(bench: Bench, probing: Probing, data: Data, encoder: Encoder) -> Finding:
    few = training_subset(data, FROZEN_IMAGES)
    noise = generator(probing, "audit frozen", bench.device)
    run = Run(bench.progress, device=bench.device)
    try:
        with bench.stage(ProbeError, "probes", probing.probe):
            probe(bench.probe(probing), encoder, ProbeData.of(few), noise, run)
    except FAILURES as error:
        bench.say_traceback()
        return Finding("frozen", Verdict.ERROR, str(error))
    count = len(few.train) + len(few.held_out)
    seen = f"the probe, fitted on {count} images, left every weight and buffer as it was"
    return Finding("frozen", Verdict.OK, seen)


def _determinism(subject: Subject) -> tuple[bool, str]:
    first, second = (subject.logits([subject.first_batch]) for _ in range(2))
    with evaluating(subject.model), full_precision():
        rarely = evidence.repeats_differ(subject.model, subject.first_batch[:1], CALLS)
    seen = f"asked twice, logits {_apart(first, second)}; one image's "
    seen += f"{'change' if rarely else 'stay'} in {CALLS} calls"
    return rarely or evidence.differ(first, second), seen


def _batch_size(subject: Subject) -> tuple[bool, str]:
    images = subject.first_batch
    whole = subject.logits([images])
    sizes = sorted({max(1, len(images) // 3), min(7, len(images))})
    others = {size: subject.logits(torch.split(images, size)) for size in sizes}
    wrong = any(evidence.differ(other, whole) for other in others.values())
    seen = ", ".join(f"{_apart(other, whole)} in {size}s" for size, other in others.items())
    return wrong, f"instead of {len(images)} images at once, logits {seen}"


def _logit_scale(subject: Subject) -> tuple[bool, str]:
    logits = subject.logits([subject.first_batch])
    counts, n, spread = evidence.scale(logits), len(logits), evidence.spread(logits).median()
    many, close = counts[flags.UNRESOLVED], counts[flags.CLOSE]
    return over(many, n, flags.NO_GRADIENT) or over(close, n, flags.MOST), (
        f"spread {spread:.3g}, under {flags.SMALL_SPREAD:g} for {close}; float32's cross-entropy "
        f"cannot resolve {many} of {n} images"
    )


def _gradients(subject: Subject) -> tuple[bool, str]:
    pgd = subject.tried("pgd").attempt
    right = int((pgd.outcome.clean_prediction == pgd.outcome.label).sum())
    counted = {
        flags.FLAT: "none or a faint one on {}",
        flags.STILL: "none in most pixels of {}",
        flags.JAGGED: "a false one on {}",
    }
    seen = [text.format(pgd.counts[name]) for name, text in counted.items()]
    easy = pgd.counts[flags.MISSED_EASY]
    return flags.MASKED in own_flags(pgd), (
        f"{', '.join(seen)} of {right} correctly classified images; {easy} stand though noise or "
        "a single step fools the model"
    )


def _steps(subject: Subject) -> tuple[bool, str]:
    tried = {steps: subject.tried("pgd", steps=steps) for steps in (1, 20, 100)}
    seen = ", ".join(f"{one.share} after {steps}" for steps, one in tried.items())
    return _any_beaten(tried.values()), f"PGD leaves {seen} steps; more should leave less"


def _radii(subject: Subject) -> tuple[bool, str]:
    radii = [subject.eps * factor for factor in (Fraction(1, 4), Fraction(1, 2), 1, 2)]
    tried = {eps: subject.tried("pgd", eps=eps) for eps in radii if eps <= 1}
    shown = {eps: radius(subject.question("pgd", eps=eps).attack)[1] for eps in tried}
    seen = ", ".join(f"{one.share} at {shown[eps]}" for eps, one in tried.items())
    return _any_beaten(tried.values()), f"PGD leaves {seen}; larger ones should leave less"


def _huge(subject: Subject) -> tuple[bool, str]:
    pgd = subject.tried("pgd", eps=HUGE)
    missed, n = pgd.attempt.counts[flags.MISSED_GREY], len(pgd.attempt.outcome.label)
    return misses_grey(pgd.attempt), (
        f"at {float(HUGE)} PGD leaves {pgd.share}; {missed} of {n} images stand though plain grey "
        "fools the model"
    )


def _transfer(subject: Subject) -> tuple[bool, str]:
    named, surrogate = _surrogate(subject)
    made, own = subject.tried("transfer", surrogate), subject.tried("pgd")
    wrong = leaves_fewer(made.attempt, own.attempt)
    return wrong, f"images made on {named} leave {made.share}, PGD {own.share}"


def _surrogate(subject: Subject) -> tuple[str, nn.Module]:
    """Another classifier of the same data, and its name.

    It has another encoder of the zoo that was trained on the same data, if possible by the same
    method, or else the subject's architecture with fresh weights; and a linear probe of its own.
    """
    bench, source = subject.bench, subject.probing.source
    noise = generator(source, "audit surrogate", bench.device)
    named, encoder = _another(subject) or (f"an untrained {source.encoder.name}", None)
    if encoder is None:
        torch.manual_seed(noise.initial_seed())  # the audit restores the global state
        encoder = bench.catalog.build("encoders", source.encoder)
        assert isinstance(encoder, Encoder)
    few = training_subset(subject.data, SURROGATE_IMAGES)
    encoder = encoder.to(bench.device).eval()
    linear = probe(Linear(strength=0.1), encoder, ProbeData.of(few), noise, subject.run)
    return named, linear.eval()


def _another(subject: Subject) -> tuple[str, Encoder] | None:
    store, own = subject.bench.store, subject.probing.source
    data, method = getattr(own, "dataset", subject.probing.dataset), getattr(own, "objective", None)
    others = [card for card in store.cards() if getattr(card.question, "dataset", None) == data]
    # An encoder of the same kind is wrong in the same places: its images transfer best.
    others.sort(key=lambda card: (getattr(card.question, "objective", None) != method, card.key))
    for card in others:
        weights = store.encoder(card) if card.question != own else None
        with suppress(SpecError):  # such as one of a plug-in that is not available
            if weights is not None:
                return card.key, restore(subject.bench.catalog, card, weights)
    return None


def _square(subject: Subject) -> tuple[bool, str]:
    square, own = subject.tried("square", queries=QUERIES), subject.tried("pgd", steps=100)
    return leaves_fewer(square.attempt, own.attempt), (
        f"{QUERIES} queries (of AutoAttack's 5000) leave {square.share}, PGD after 100 "
        f"steps {own.share}"
    )


def _autoattack(subject: Subject) -> tuple[bool, str]:
    full, pgd = subject.tried("autoattack"), subject.tried("pgd")
    counts, notes = full.attempt.counts, full.attempt.notes
    counted = {flags.SQUARE: "fooled by Square alone", flags.ZERO_GRADIENTS: "without a gradient"}
    seen = [f"{counts[count]} images {what}" for count, what in counted.items() if count in counts]
    # The flags of the budget and the subset say nothing about the model.
    own = sorted(own_flags(full.attempt) - {flags.BUDGET, flags.SUBSET})
    seen += [f"flags itself: {', '.join(own)}"] if own else []
    seen += [f"notes: {', '.join(notes)}"] if notes else []
    wrong = far_below(*pgd, *full) or bool(own)
    return wrong, "; ".join([f"leaves {full.share}, PGD {pgd.share}", *seen])


def _recomputed(subject: Subject) -> tuple[bool, str]:
    """PGD's first batch, made again and predicted in other batches."""
    pgd, images = subject.tried("pgd"), subject.first_batch
    outcome, n = pgd.attempt.outcome, len(images)
    labels = torch.tensor(outcome.label[:n], device=subject.bench.device)
    target = Target(subject.model, len(subject.data.classes))
    noise = subject.generator(subject.question("pgd"), 0)
    made = pgd.attack(target, images, labels, noise, subject.run).images
    after = (subject.logits(torch.split(made, max(1, n // 3))).argmax(1) == labels).cpu().numpy()
    before = (outcome.prediction == outcome.label)[:n]
    seen = f"{before.sum()} of {n} right at first, {after.sum()} from images made again"
    return bool((before != after).any()), seen


def _ball(subject: Subject) -> tuple[bool, str]:
    # Each was checked as it was made; what left its ball or the range has a line of its own.
    tried = subject.attacks.values()
    balls = [(one, one.attack.ball) for one in tried if one.attack.ball is not None]
    sizes = [float(one.attempt.outcome.size.max()) / ball.eps for one, ball in balls]
    return False, f"largest of {len(sizes)} attacks {max(sizes):.6f} eps, and pixels in [0, 1]"


CHECKS: dict[str, Check] = {
    "determinism": _determinism,
    "batch size": _batch_size,
    "logit scale": _logit_scale,
    "gradients": _gradients,
    "steps": _steps,
    "radii": _radii,
    "huge radius": _huge,
    "transfer": _transfer,
    "Square": _square,
    "AutoAttack": _autoattack,
    "recomputed": _recomputed,
    "ball": _ball,
}
"""The checks of a classifier, in this order."""


def _any_beaten(tried: Iterable[Tried]) -> bool:
    found = list(tried)
    return any(beaten(*one, *other) for one in found for other in found)


def _apart(one: Tensor, other: Tensor) -> str:
    spread = evidence.spread(other).mean()
    apart = (one - other).abs().amax()
    return f"move by {float(apart / spread) if spread > 0 else float(apart):.1g} of their spread"
