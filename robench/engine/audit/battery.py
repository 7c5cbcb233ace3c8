"""The battery: each check is a function from its subject to a line with the evidence."""

import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from robench.attacks.square import Square
from robench.attacks.transfer import Transfer
from robench.contracts import Data, Encoder, Probe, Run
from robench.engine import evidence as checks
from robench.engine.audit.findings import Finding, Verdict, flag_if
from robench.engine.audit.subject import BATCH, Asked, Subject, Trial, question_of, share
from robench.engine.audit.surrogate import surrogate
from robench.engine.bench import FAILURES, Bench, restore
from robench.engine.probe import probe
from robench.engine.subset import rows, training_subset
from robench.grid.questions import generator
from robench.grid.records import Card
from robench.grid.spec import Spec, show_number
from robench.tensors.features import to_images
from robench.tensors.modes import preserved_random_state
from robench.trust import flags
from robench.trust.review import (
    beaten,
    far_below,
    leaves_fewer,
    misses_grey,
    over,
    own_flags,
)

HUGE = Fraction(1, 2)  # every image can be made plain grey within it
QUERIES = 500  # a tenth of what AutoAttack gives Square, which takes minutes where many stand
FROZEN_IMAGES = 512  # enough to see whether a probe leaves its encoder alone

Check = Callable[[Subject], tuple[Verdict, str]]


def audit(bench: Bench, card: Card, asked: Asked) -> Iterator[Finding]:
    """Try the whole battery on an encoder of the zoo: a line for each check as it is done.

    Nothing is written but the probe, where a run would keep it. Raises DataError where the data set
    cannot be read, and SpecError where the encoder's components are not there.
    """
    with preserved_random_state():  # a random layer draws from there
        yield from _audited(bench, card, asked)


def _audited(bench: Bench, card: Card, asked: Asked) -> Iterator[Finding]:
    weights = bench.store.encoder(card)
    if weights is None:
        yield Finding("weights", Verdict.ERROR, "missing, or their hash differs from the card's")
        return
    yield Finding("weights", Verdict.OK, f"SHA-256 {card.weights_sha256[:16]}…, as on the card")
    data = bench.data(asked.target)
    encoder = restore(bench.catalog, card, weights).to(bench.device)
    for finding in (_eval_mode(encoder), _frozen(bench, card, asked, data, encoder)):
        yield finding
        if finding.verdict is not Verdict.OK:
            return
    try:
        model = bench.classifier(question_of(card, asked))
    except FAILURES as error:
        yield Finding("probe", Verdict.ERROR, str(error))
        return
    index = rows(len(data.test), asked.limit)
    subject = Subject(bench, card, asked, data, index, model)
    for name, check in BATTERY.items():
        if name == "AutoAttack" and not asked.autoattack:
            continue
        try:
            yield Finding(name, *check(subject))
        except FAILURES as error:
            yield Finding(name, Verdict.ERROR, str(error))


def _eval_mode(encoder: Encoder) -> Finding:
    training = [
        f"{type(part).__name__} '{name}'" for name, part in encoder.named_modules() if part.training
    ]
    evidence = f"in train mode after eval(): {', '.join(training[:3])}" if training else "all parts"
    return Finding("eval mode", Verdict.ERROR if training else Verdict.OK, evidence)


def _frozen(bench: Bench, card: Card, asked: Asked, data: Data, encoder: Encoder) -> Finding:
    method = bench.catalog.build("probes", asked.probe)
    assert isinstance(method, Probe)
    few = training_subset(data, FROZEN_IMAGES)
    dice = generator(question_of(card, asked), "audit frozen", bench.device)
    try:
        probe(method, encoder, few, dice, Run(bench.progress, device=bench.device))
    except FAILURES as error:
        return Finding("frozen", Verdict.ERROR, str(error))
    count = len(few.train) + len(few.held_out)
    evidence = f"the probe, fitted on {count} images, left every weight and buffer as it was"
    return Finding("frozen", Verdict.OK, evidence)


def _determinism(subject: Subject) -> tuple[Verdict, str]:
    images, _ = subject.first_batch
    first, second = subject.logits([images]), subject.logits([images])
    return flag_if(checks.differ(first, second)), f"asked twice, logits {_apart(first, second)}"


def _batch_size(subject: Subject) -> tuple[Verdict, str]:
    images, _ = subject.first_batch
    whole = subject.logits([images])
    sizes = sorted({max(1, len(images) // 3), min(7, len(images))})
    others = {size: subject.logits(list(torch.split(images, size))) for size in sizes}
    wrong = any(checks.differ(other, whole) for other in others.values())
    told = ", ".join(f"{_apart(other, whole)} in {size}s" for size, other in others.items())
    return flag_if(wrong), f"instead of {len(images)} images at once, logits {told}"


def _logit_scale(subject: Subject) -> tuple[Verdict, str]:
    logits = subject.logits([subject.first_batch[0]])
    spread, lead = checks.spread(logits), checks.margin(logits)
    many = checks.unresolved(logits)
    return flag_if(over(many, len(logits), flags.NO_GRADIENT)), (
        f"spread {spread.median():.3g}, lead up to {lead.max():.3g}; float32's cross-entropy "
        f"cannot resolve {many} of {len(logits)} images"
    )


def _gradients(subject: Subject) -> tuple[Verdict, str]:
    trial = subject.trial(subject.spec("pgd"))
    right = int((trial.outcome.clean_prediction == trial.outcome.label).sum())
    flat = trial.counts[flags.FLAT]
    wrong = over(flat, right, flags.NO_GRADIENT)
    return flag_if(wrong), f"none at all on {flat} of {right} correctly classified images"


def _steps(subject: Subject) -> tuple[Verdict, str]:
    trials = {steps: subject.trial(subject.spec("pgd", steps=steps)) for steps in (1, 20, 100)}
    told = ", ".join(f"{share(trial.outcome)} after {n}" for n, trial in trials.items())
    return _unbeaten(list(trials.values())), f"PGD leaves {told} steps; more should leave less"


def _radii(subject: Subject) -> tuple[Verdict, str]:
    radii = [subject.asked.eps * factor for factor in (Fraction(1, 4), Fraction(1, 2), 1, 2)]
    trials = {eps: subject.trial(subject.spec("pgd", eps)) for eps in radii if eps <= 1}
    told = ", ".join(f"{share(trial.outcome)} at {_radius(eps)}" for eps, trial in trials.items())
    return _unbeaten(list(trials.values())), f"PGD leaves {told}; larger ones should leave less"


def _huge(subject: Subject) -> tuple[Verdict, str]:
    trial = subject.trial(subject.spec("pgd", HUGE))
    missed, n = trial.counts[flags.MISSED_GREY], len(trial.outcome.label)
    return flag_if(misses_grey(trial)), (
        f"at {show_number(HUGE)} PGD leaves {share(trial.outcome)}; {missed} of {n} images stand "
        "though plain grey fools the model"
    )


def _transfer(subject: Subject) -> tuple[Verdict, str]:
    named, model = surrogate(subject)
    other = subject.try_out(Transfer(float(subject.asked.eps)), Spec("transfer"), model)
    own = subject.trial(subject.spec("pgd"))
    return flag_if(leaves_fewer(other.outcome, own.outcome)), (
        f"images made on {named} leave {share(other.outcome)}, PGD {share(own.outcome)}"
    )


def _square(subject: Subject) -> tuple[Verdict, str]:
    square = subject.try_out(Square(float(subject.asked.eps), queries=QUERIES), Spec("square"))
    own = subject.trial(subject.spec("pgd", steps=100))
    return flag_if(leaves_fewer(square.outcome, own.outcome)), (
        f"{QUERIES} queries (of AutoAttack's 5000) leave {share(square.outcome)}, PGD after 100 "
        f"steps {share(own.outcome)}"
    )


def _autoattack(subject: Subject) -> tuple[Verdict, str]:
    full = subject.trial(subject.spec("autoattack"))
    pgd = subject.trial(subject.spec("pgd"))
    counted = {flags.SQUARE: "fooled by Square alone", flags.ZERO_GRADIENTS: "without a gradient"}
    told = [
        f"{full.counts[count]} images {what}"
        for count, what in counted.items()
        if count in full.counts
    ]
    own = sorted(own_flags(full) - {flags.BUDGET, flags.SUBSET})  # these say nothing of the model
    told += [f"flags itself: {', '.join(own)}"] if own else []
    told += [f"notes: {', '.join(full.notes)}"] if full.notes else []
    wrong = far_below(pgd.attack, pgd, full.attack, full) or bool(own)
    leaves = f"leaves {share(full.outcome)}, PGD {share(pgd.outcome)}"
    return flag_if(wrong), "; ".join([leaves, *told])


def _recomputed(subject: Subject) -> tuple[Verdict, str]:
    """The images of PGD, made again, through a file and in other batches."""
    spec, test = subject.spec("pgd"), subject.data.test
    attack, dice, device = subject.attack(spec), subject.dice(str(spec)), subject.bench.device
    right = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "attacked.npy"
        for start in range(0, len(subject.index), BATCH):
            chosen = subject.index[start : start + BATCH]
            labels = torch.tensor(test.labels[chosen], device=device)
            images = to_images(test.images[chosen], device)
            made = attack(subject.target, images, labels, dice(start), subject.run)
            np.save(file, made.images.cpu().numpy(), allow_pickle=False)
            read = torch.from_numpy(np.load(file, allow_pickle=False)).to(device)
            predicted = subject.logits(list(torch.split(read, max(1, len(read) // 3)))).argmax(1)
            right.append((predicted == labels).cpu().numpy())
    outcome = subject.trial(spec).outcome
    before, after = outcome.prediction == outcome.label, np.concatenate(right)
    told = f"{before.sum()} of {len(before)} right at first, {after.sum()} from images made again"
    return flag_if(bool((before != after).any())), f"{told}, written to disk and read"


def _ball(subject: Subject) -> tuple[Verdict, str]:
    # Each was checked as it was made; what left its ball or the range has a line of its own.
    largest = max(
        float(trial.outcome.size.max()) / trial.attack.ball.eps
        for trial in subject.tried.values()
        if trial.attack.ball is not None
    )
    count = len(subject.tried)
    return Verdict.OK, f"largest of {count} attacks {largest:.6f} eps, and pixels in [0, 1]"


BATTERY: dict[str, Check] = {
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
"""What is tried on a classifier, in this order."""


def _unbeaten(trials: list[Trial]) -> Verdict:
    pairs = [(one, other) for one in trials for other in trials]
    return flag_if(any(beaten(one.attack, one, two.attack, two) for one, two in pairs))


def _apart(one: torch.Tensor, other: torch.Tensor) -> str:
    spread = checks.spread(other).mean()
    apart = (one - other).abs().amax()
    return f"move by {float(apart / spread) if spread > 0 else float(apart):.1g} of their spread"


def _radius(eps: Fraction) -> str:
    steps = eps * 255
    return f"{steps}/255" if steps.denominator == 1 else show_number(eps)
