"""AutoAttack (Croce & Hein 2020, arXiv 2003.01690): the official package behind an adapter."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor, nn

from robench.attacks._recalled import recall_searches
from robench.attacks._steady import Steady
from robench.attacks._until_fooled import stop_at_success
from robench.contracts import NO_CHECKPOINTS, Attack, Attacked, Checkpoints
from robench.journal import Journal
from robench.tensors.balls import Ball, ball
from robench.tensors.modes import draw_seed, evaluating, frozen, preserved_random_state
from robench.tensors.stand_in import stand_in

if TYPE_CHECKING:
    import pyautoattack
    from pyautoattack.square import SquareAttack

_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}  # the package's names

_NOTES = {  # words in a warning of the package's checks.py: the note that stands for it
    "randomized defense": "randomized",
    "probability distribution": "probabilities",
    "dynamic defense": "dynamic",
    "zero gradient": "zero-gradients",
    "Square Attack has decreased": "square-beats-whitebox",
}


@dataclass(frozen=True)
class AutoAttack(Attack):
    """AutoAttack's standard version: APGD-CE, targeted APGD-DLR, targeted FAB and Square, in full.

    ``eps`` is in pixels of [0, 1]; ``norm`` is "linf", "l2" or "l1". With K classes the targeted
    attacks try at most K - 1 targets; under 4 classes the targeted DLR loss is undefined, so
    APGD-DLR is left out. Each of the four attacks sees what the ones before it left standing. The
    images of a call are one batch of the package, which reseeds itself for every batch: a result
    depends on how images are grouped into calls, and on nothing else that was drawn before.

    The robust flags are the package's, for less work: the attacks search through a stand-in for the
    model, which itself judges what each of them returns, and APGD leaves an image alone once it is
    fooled, so its first success comes back where the package gives its last.

    Interrupted within a call, it goes on at the gradient or query that it had got to (`resume`).

    Notes, where the package warns or the adapter departs from the standard version:

    - ``randomized``: the same images got different logits;
    - ``probabilities``: the outputs look like probabilities instead of logits;
    - ``dynamic``: the model computes gradients in its forward pass;
    - ``zero-gradients``: the gradient of the DLR loss vanished on some image;
    - ``square-beats-whitebox``: Square fooled over 0.2% of this call's images, which the gradient
      attacks had left standing;
    - ``no-dlr``: APGD-DLR was left out, for want of 4 classes;
    - any other warning of the package in its own words.

    Counts, in images of this call: ``square``, which Square alone fooled; ``zero-gradients``, the
    most at whose start a run of APGD-DLR found no gradient (none is counted under 4 classes).

    Raises ValueError for an unknown norm or an eps that is not positive (linf: or over 1).
    """

    eps: float = 8 / 255
    norm: str = "linf"

    def __post_init__(self) -> None:
        ball(self.norm, self.eps)

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    def passes(self, classes: int) -> tuple[float, float]:
        # autoattack.py, version "standard": APGD-CE 100 steps; for each target 100 steps of APGD-T
        # and 100 of FAB with two passes each; Square 5000 queries, of which the time is a third. In
        # L1 APGD-CE restarts five times and APGD-T has five targets, and 60 of a run's 100 steps
        # are in larger balls, which no success cuts short.
        l1 = self.norm == "l1"
        targets = min(9, classes - 1)
        dlr_targets = min(5 if l1 else 9, classes - 1) if classes >= 4 else 0
        steps = (500 if l1 else 100) + 100 * dlr_targets + 200 * targets
        return 60.0 if l1 else 1.0, steps + 5000 / 3

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Attacked:
        return self.resume(model, images, labels, generator, NO_CHECKPOINTS)

    def resume(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        generator: Generator,
        checkpoints: Checkpoints,
    ) -> Attacked:
        seed, journal = draw_seed(generator), Journal(checkpoints)
        images = images.contiguous()  # the package reshapes with view()
        # FAB calls backward(), which would write gradients into parameters that are not frozen.
        with evaluating(model), frozen(model), preserved_random_state(), _fresh_checks():
            with torch.no_grad():
                classes = model(images[:1]).shape[1]
            quick = stand_in(model, images)
            with _heard(journal.said):
                official = self._official(model, quick, classes, seed, images.device)
                recall_searches(official, journal)
                reached = _images_given_to(official.square)
                attacked, predicted = official.run_standard_evaluation(
                    images, labels, batch_size=len(images)
                )
        warnings = journal.said
        notes = [_note(warning) for warning in warnings]
        standing = int((predicted == labels).sum())
        counts = {"square": sum(reached) - standing if reached else 0}
        if "apgd-t" in official.attacks_to_run:
            counts["zero-gradients"] = max(map(_zero_gradients, warnings), default=0)
        else:
            notes.insert(0, "no-dlr")
        return Attacked(attacked.detach(), tuple(dict.fromkeys(notes)), counts)

    def _official(
        self, model: nn.Module, quick: nn.Module, classes: int, seed: int, device: torch.device
    ) -> "pyautoattack.AutoAttack":
        from pyautoattack import AutoAttack as Official

        official = Official(
            model,  # has the last word on each image; the attacks search through the quick one
            norm=_NORMS[self.norm],
            eps=self.eps,
            seed=seed,
            version="standard",
            device=device,
        )
        official.get_logits = Steady(official.get_logits)
        for climbing in (official.apgd, official.apgd_targeted):
            climbing.model = quick
            stop_at_success(climbing)
        official.fab.predict = official.square.predict = quick
        for targeted in (official.apgd_targeted, official.fab):
            targeted.n_target_classes = min(targeted.n_target_classes, classes - 1)
        if classes < 4:
            official.version = "custom"
            official.attacks_to_run = [a for a in official.attacks_to_run if a != "apgd-t"]
        return official


@contextmanager
def _fresh_checks() -> Iterator[None]:
    """Start the package's call counters at zero, and undo what its checks do to tracers.

    The counters outlive a call, so one dynamic model would taint the next; and check_dynamic ends
    with ``sys.settrace(None)``, which switches off coverage and debuggers.
    """
    from pyautoattack import checks

    trace, profile = sys.gettrace(), sys.getprofile()
    counters = dict.fromkeys(checks.funcs, 0)
    checks.funcs.update(counters)
    try:
        yield
    finally:
        checks.funcs.update(counters)
        sys.settrace(trace)
        sys.setprofile(profile)


def _images_given_to(square: "SquareAttack") -> list[int]:
    """A list that grows, with each batch which ``square`` is to attack, by the batch's length."""
    lengths: list[int] = []
    perturb = square.perturb

    def counted(images: Tensor, labels: Tensor) -> Tensor:
        lengths.append(len(images))
        attacked: Tensor = perturb(images, labels)
        return attacked

    square.perturb = counted
    return lengths


def _note(warning: str) -> str:
    return next((note for words, note in _NOTES.items() if words in warning), warning)


def _zero_gradients(warning: str) -> int:
    # Each target's run warns of the images that it begins with, so numbers of runs overlap.
    found = re.search(r"there are (\d+) points with zero gradient", warning)
    return int(found[1]) if found else 0


@contextmanager
def _heard(warnings: list[str]) -> Iterator[None]:
    """Collect the package's warnings and print none; its progress, at DEBUG, passes."""
    logger = logging.getLogger("auto-attack")

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        warnings.append(record.getMessage())
        return False

    level, disabled = logger.level, logger.disabled
    logger.setLevel(min(logger.getEffectiveLevel(), logging.WARNING))
    logger.disabled = False  # logging.config disables loggers that it does not know
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
        logger.disabled = disabled
        logger.setLevel(level)
