"""AutoAttack's four attacks (Croce & Hein 2020, arXiv 2003.01690), run by the official package."""

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

STANDARD_QUERIES = 5000  # of Square

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
    unchanged. The package seeds itself anew for the images of each call, its batch.

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

    def refusal(self, height: int, width: int) -> str | None:
        # Square tiles an image in L2 and L1 (the package's square.py, attack_single_run): tiles of
        # a fifth of the height begin half of what a fifth leaves over from the edge. Of single
        # pixels, those beyond the edge are empty.
        tile, start = height // 5, height % 5 // 2
        if "square" not in self.members or self.norm == "linf" or tile == 1:
            return None
        if tile > 1 and all(start + side // tile * tile <= side for side in (height, width)):
            return None
        return f"Square in {self.norm} cannot tile images of {height}x{width}"

    def passes(self, classes: int) -> tuple[float, float]:
        in_l1, targets = self.norm == "l1", min(9, classes - 1)
        most = {
            "apgd-ce": 500.0 if in_l1 else 100.0,  # five restarts
            "apgd-t": 0.0 if classes < 4 else 100.0 * (min(5, targets) if in_l1 else targets),
            "fab-t": 200.0 * targets,  # two passes in a step
            "square": STANDARD_QUERIES / 3,  # without the backward pass, two thirds of the time
        }
        # In L1, 60 of a run's 100 steps are in larger balls, and no success shortens those.
        least = 60.0 if in_l1 and self.members[0] in ("apgd-ce", "apgd-t") else 1.0
        return least, sum(most[member] for member in self.members)

    def adjust(self, package: Any) -> None:
        """Change settings of the package's standard version; by default none."""

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        images = images.contiguous()  # the package reshapes with view()
        model, seed, warnings = target.model, draw_seed(generator), _Warnings()
        with self._package(target, images, seed) as package, torch.no_grad():
            package.apgd.logger = package.apgd_targeted.logger = warnings

            def accept(found: State) -> None:
                by, said = found.tensors["by"], found.values["warnings"]
                fits = found.is_like({"x": images, "standing": labels.bool(), "by": labels})
                fits &= found.values["done"] in range(len(self.members) + 1)
                fits &= isinstance(said, list)
                size = self.ball.size(found.tensors["x"].double(), images.double().to(by.device))
                if not fits or size.max() > self.eps * 1.001 or set(map(type, said)) - {str}:
                    raise ValueError("it is of other images")

            found = run.checkpoints.load(accept)
            if found is None:
                standing = _classified(model, images, labels, warnings)
                tensors = {"x": images, "standing": standing, "by": torch.full_like(labels, -1)}
                found = State(tensors, {"done": 0, "warnings": list(warnings)})
            kept = {n: t.to(images.device, copy=True) for n, t in found.tensors.items()}
            attacked, standing, fooled_by = kept["x"], kept["standing"], kept["by"]
            warnings[:] = found.values["warnings"]
            for number, member in list(enumerate(self.members))[found.values["done"] :]:
                rows = standing.nonzero().squeeze(1)
                if len(rows) == 0 or (member == "apgd-t" and target.classes < 4):
                    continue
                search = getattr(package, MEMBERS[member])
                made = search.perturb(images[rows], labels[rows]).detach()
                fooled = model(made).argmax(1) != labels[rows]
                attacked[rows[fooled]], fooled_by[rows[fooled]] = made[fooled], number
                standing[rows[fooled]] = False
                values = {"done": number + 1, "warnings": list(warnings)}
                run.checkpoints.save_if_due(partial(State, kept, values))
        return Attacked(attacked, *self._noticed(warnings, target.classes), fooled_by)

    def _noticed(self, warnings: list[str], classes: int) -> tuple[tuple[str, ...], dict[str, int]]:
        """Notes, and the most images at whose start a run of APGD-T found no gradient."""
        notes = [next((n for w, n in _NOTES.items() if w in said), said) for said in warnings]
        if "apgd-t" not in self.members:
            return tuple(dict.fromkeys(notes)), {}
        if classes < 4:
            return tuple(dict.fromkeys(["no-dlr", *notes])), {}
        # Each target's run warns of the images that it begins with, so numbers of runs overlap.
        found = [re.search(r"there are (\d+) points with zero", said) for said in warnings]
        most = max((int(one[1]) for one in found if one), default=0)
        return tuple(dict.fromkeys(notes)), {"zero-gradients": most}

    @contextmanager
    def _package(self, target: Target, images: Tensor, seed: int) -> Iterator[Any]:
        """The package's attacks, which search through a faster copy of the model."""
        from pyautoattack import AutoAttack

        model, classes = target.model, target.classes
        # FAB calls backward(), which would write gradients into parameters that are not frozen.
        with evaluating(model), frozen(model), preserved_random_state():
            quick, norm = fast_copy(model, check_on=images), NORMS[self.norm]
            package: Any = AutoAttack(
                quick, norm=norm, eps=self.eps, seed=seed, device=images.device
            )
            package.fab.targeted = True
            for climbing in (package.apgd, package.apgd_targeted):
                stop_at_success(climbing)
            for targeted in (package.apgd_targeted, package.fab):
                targeted.n_target_classes = min(targeted.n_target_classes, classes - 1)
            self.adjust(package)
            yield package


def _classified(model: nn.Module, images: Tensor, labels: Tensor, logger: "_Warnings") -> Tensor:
    """Mark the images that the model classifies correctly, [B], after the package's checks."""
    from pyautoattack import checks

    checks.check_randomized(model, images, labels, bs=len(images), logger=logger)
    checks.check_range_output(model, images, logger=logger)
    checks.funcs.update(dict.fromkeys(checks.funcs, 0))  # its counters outlive a call
    trace = sys.gettrace()
    try:
        with torch.enable_grad():
            checks.check_dynamic(model, images, logger=logger)
    finally:
        sys.settrace(trace)  # it leaves none, not even a debugger's
    classified: Tensor = model(images).argmax(1) == labels
    return classified
