"""AutoAttack's four attacks (Croce & Hein 2020, arXiv 2003.01690), run by the official package.

Its seeds, settings and warnings are handled here, and what it leaves behind is undone.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from robench.attacks._until_fooled import stop_at_success
from robench.contracts import Attack, Attacked, Run, State, Target
from robench.tensors.balls import Ball, ball
from robench.tensors.folding import fast_copy
from robench.tensors.modes import draw_seed, evaluating, frozen, preserved_random_state

MEMBERS: Mapping[str, str] = {
    "apgd-ce": "apgd",
    "apgd-t": "apgd_targeted",
    "fab-t": "fab",
    "square": "square",
}
"""The standard version in its order (the package's autoattack.py): attacks, and its attributes."""

NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}  # the package's names

_NOTES = {  # words in a warning of the package's checks.py: the note that stands for it
    "randomized defense": "randomized",
    "probability distribution": "probabilities",
    "dynamic defense": "dynamic",
    "zero gradient": "zero-gradients",
}


class _Warnings(list[str]):
    """The package's warnings; it stands for the package's logger, which prints them."""

    def warning(self, text: str, *given: object) -> None:
        """Keep a warning."""
        self.append(text % given if given else text)


@dataclass(frozen=True)
class OfficialAttack(Attack):
    """A cascade of the package's attacks: each ``member`` sees the images left by those before it.

    ``eps`` is in pixels of [0, 1], ``norm`` is "linf", "l2" or "l1". Misclassified images come back
    unchanged. The images of a call are one batch of the package, which seeds itself anew for each:
    a result depends on how images are grouped into calls.

    Raises ValueError for an unknown norm or an eps that is not positive (linf: or over 1).
    """

    members: ClassVar[tuple[str, ...]]
    eps: float = 8 / 255
    norm: str = "linf"

    def __post_init__(self) -> None:
        ball(self.norm, self.eps)

    @property
    def ball(self) -> Ball:
        return ball(self.norm, self.eps)

    def adjust(self, package: Any) -> None:
        """Change settings of the package's standard version; by default none."""

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        images = images.contiguous()  # the package reshapes with view()
        model, seed, found = target.model, draw_seed(generator), run.checkpoints.load()
        warnings = _Warnings()
        with self._package(target, images, seed) as package, torch.no_grad():
            package.apgd.logger = package.apgd_targeted.logger = warnings
            if found is None:
                attacked, done = images.clone(), 0
                standing = _classified(model, images, labels, warnings)
                fooled_by = torch.full_like(labels, -1)
            else:
                tensors = {name: tensor.to(images.device) for name, tensor in found.tensors.items()}
                attacked, standing, fooled_by = (tensors[n] for n in ("x", "standing", "by"))
                done, warnings[:] = found.values["done"], found.values["warnings"]
            for number, member in list(enumerate(self.members))[done:]:
                rows = standing.nonzero().squeeze(1)
                if len(rows) == 0:
                    break
                if member == "apgd-t" and target.classes < 4:  # its loss takes the fourth logit
                    continue
                search = getattr(package, MEMBERS[member])
                made = search.perturb(images[rows], labels[rows]).detach()
                fooled = model(made).argmax(1) != labels[rows]
                attacked[rows[fooled]], fooled_by[rows[fooled]] = made[fooled], number
                standing[rows[fooled]] = False
                tensors = {"x": attacked, "standing": standing, "by": fooled_by}
                values = {"done": number + 1, "warnings": list(warnings)}
                run.checkpoints.save_if_due(partial(State, tensors, values))
        return Attacked(attacked, *self._noticed(warnings, target.classes), fooled_by)

    def _noticed(self, warnings: list[str], classes: int) -> tuple[tuple[str, ...], dict[str, int]]:
        """Notes, and the most images at whose start a run of APGD-T found no gradient."""
        targeted, counts = "apgd-t" in self.members, {}
        notes = [next((n for w, n in _NOTES.items() if w in said), said) for said in warnings]
        if targeted and classes < 4:
            notes.insert(0, "no-dlr")
        elif targeted:
            # Each target's run warns of the images that it begins with, so numbers of runs overlap.
            found = [re.search(r"there are (\d+) points with zero", said) for said in warnings]
            counts["zero-gradients"] = max((int(one[1]) for one in found if one), default=0)
        return tuple(dict.fromkeys(notes)), counts

    @contextmanager
    def _package(self, target: Target, images: Tensor, seed: int) -> Iterator[Any]:
        """The package's attacks, which search through a faster copy of the model."""
        from pyautoattack import AutoAttack

        model, classes = target.model, target.classes
        # FAB calls backward(), which would write gradients into parameters that are not frozen.
        with evaluating(model), frozen(model), preserved_random_state(), _checks_undone():
            package: Any = AutoAttack(
                fast_copy(model, check_on=images),
                norm=NORMS[self.norm],
                eps=self.eps,
                seed=seed,
                version="standard",
                device=images.device,
            )
            package.fab.targeted = True
            for climbing in (package.apgd, package.apgd_targeted):
                stop_at_success(climbing)
            for targeted in (package.apgd_targeted, package.fab):
                targeted.n_target_classes = min(targeted.n_target_classes, classes - 1)
            self.adjust(package)
            yield package


def _classified(model: nn.Module, images: Tensor, labels: Tensor, logger: "_Warnings") -> Tensor:
    """Which images the model classifies correctly, [B], after the package's sanity checks."""
    from pyautoattack import checks

    logits = model(images)
    if not torch.equal(model(images), logits):  # the same bits twice are not random
        checks.check_randomized(model, images, labels, bs=len(images), logger=logger)
    checks.check_range_output(lambda _: logits, images, logger=logger)
    with torch.enable_grad():
        checks.check_dynamic(model, images, logger=logger)
    classified: Tensor = logits.argmax(1) == labels
    return classified


@contextmanager
def _checks_undone() -> Iterator[None]:
    """Start the package's call counters at zero, and undo what its checks do to tracers.

    The counters outlive a call, so one dynamic model would taint the next; and check_dynamic ends
    with ``sys.settrace(None)``, which switches off coverage and debuggers.
    """
    from pyautoattack import checks

    trace = sys.gettrace()
    counters = dict.fromkeys(checks.funcs, 0)
    checks.funcs.update(counters)
    try:
        yield
    finally:
        checks.funcs.update(counters)
        sys.settrace(trace)
