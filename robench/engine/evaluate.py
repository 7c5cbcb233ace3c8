"""Attack a classifier on test images, and record what happened to each image."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from robench.contracts import (
    Accept,
    Attack,
    Attacked,
    Checkpoints,
    Outcome,
    Run,
    Split,
    State,
    Target,
    any_state,
)
from robench.engine import evidence
from robench.engine.faults import broken, shown, unchanged
from robench.engine.progress import counted_calls
from robench.tensors.ascend import GradientError
from robench.tensors.features import to_images
from robench.tensors.memory import is_out_of_memory, release
from robench.tensors.modes import evaluating, full_precision, only_evaluating, usual_modes
from robench.trust.flags import RECOMPUTED_OTHERWISE, TEST_IMAGES

_WHOLE = ("label", "clean_prediction", "prediction", "fooled_by")
_REAL = ("size", "clean_confidence", "confidence")
TOLERANCE = 1e-6  # of the ball's radius and the pixel range: float32's rounding, nothing more

_EXAMPLES = 8

_OWN = "attack."  # begins the names of an attack's own tensors in a state


class EvaluationError(Exception):
    """The evaluation broke a rule, so its accuracy is meaningless; the message says which one."""


@dataclass(frozen=True)
class Attempt:
    """An attack's outcome, evidence, and a few images, float32 [m, 3, H, W], to look at.

    ``notes`` and ``counts``, in images, are what the flags are drawn from (`robench.trust.flags`);
    ``batch`` is the batch size used. ``data`` is left to who stores it.
    """

    outcome: Outcome
    notes: tuple[str, ...]
    counts: dict[str, int]
    clean: npt.NDArray[np.float32]
    attacked: npt.NDArray[np.float32]
    batch: int
    data: str = ""


def evaluate(
    target: Target,
    attack: Attack,
    test: Split,
    index: npt.NDArray[np.int64],
    batch: int,
    generator: Callable[[int], Generator],
    run: Run,
    label: str,
) -> Attempt:
    """Attack the test images in the rows ``index``, ``batch`` at a time.

    ``generator(start)`` seeds the batch at ``start``, so an interrupted evaluation continues to the
    same bits. The model runs in eval mode and full float32. If memory runs out, all images are
    attacked again in batches of half the size. Raises EvaluationError for images of another shape,
    outside the ball or the pixel range, for logits that are not finite or of other classes, for a
    model, or a part of it, that is in train mode, for a surrogate that is missing, or if a single
    image is too large for memory.
    """
    if "surrogate" in attack.needs and target.surrogate is None:
        raise EvaluationError(f"{type(attack).__name__} needs a surrogate model")
    work = _Work(target, attack, test, index, generator, run, label)
    found = run.checkpoints.load(partial(work.accept, batch))
    size = batch if found is None else found.values["batch"]
    while True:
        try:
            return work.attack_all(size, found)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise EvaluationError("out of memory while attacking a single image") from None
        release()
        size, found = min(size, len(index)) // 2 or 1, None


@dataclass(frozen=True)
class _Work:
    target: Target
    attack: Attack
    test: Split
    index: npt.NDArray[np.int64]
    generator: Callable[[int], Generator]
    run: Run
    label: str

    def accept(self, most: int, found: State) -> None:
        """Raise an exception for a state that is not of these images, ``most`` at a time."""
        (finished, _), batch = _restored(found), found.values["batch"]
        labels = torch.from_numpy(self.test.labels[self.index])
        fits = batch in range(1, most + 1)
        for part in finished:
            done = len(part.tensors["label"])
            like = dict.fromkeys(_WHOLE, labels) | dict.fromkeys(_REAL, labels.float())
            like["attacked"] = to_images(self.test.images[self.index[:done]], "cpu")
            fits &= part.is_like({name: column[:done] for name, column in like.items()})
            fits &= done == len(labels) or done % batch == 0
            fits &= part.tensors["label"].equal(labels[:done])
            fits &= all(isinstance(count, int) for count in part.values["counts"].values())
            notes = part.values["notes"]
            fits &= isinstance(notes, list) and all(isinstance(note, str) for note in notes)
        if not fits:
            raise ValueError("it is of other images")

    def attack_all(self, batch: int, found: State | None) -> Attempt:
        """Attack all batches, from where the state ``found`` is; then predict all images again."""
        model, run = self.target.model, self.run
        finished, own = _restored(found)
        done = sum(len(part.tensors["label"]) for part in finished)
        starts = range(0, len(self.index), batch)
        # With both predictions and four calls for evidence.
        calls = math.ceil(self.attack.passes(self.target.classes)[1]) + 6
        with (
            usual_modes(),
            evaluating(model),
            full_precision(),
            only_evaluating(model, EvaluationError),
            counted_calls(model, calls, len(starts), run.progress, self.label) as begin,
        ):
            for start in starts:
                begin()
                if start < done:
                    continue
                before = partial(_joined, tuple(finished), batch)
                within = _Within(run.checkpoints, before, own if start == done else None)
                counts = Counter(run.counts)
                for part in finished:
                    counts.update(part.values["counts"])
                own_run = replace(run, checkpoints=within, counts=counts)
                finished.append(self.attack_batch(start, batch, own_run))
                run.checkpoints.save_if_due(partial(_joined, tuple(finished), batch))
            whole = _joined(finished, batch)
            columns = {name: column.numpy() for name, column in whole.tensors.items()}
            attacked = columns.pop("attacked")
            outcome = Outcome(index=self.index, **columns)
            batches = torch.split(whole.tensors["attacked"], batch)
            again = [_logits(self.target, images.to(run.device)).argmax(1) for images in batches]
        again_right = torch.cat(again).cpu().numpy() == outcome.label
        differs = int((again_right != (outcome.prediction == outcome.label)).sum())
        return Attempt(
            outcome,
            tuple(whole.values["notes"]),
            {**whole.values["counts"], TEST_IMAGES: len(self.test), RECOMPUTED_OTHERWISE: differs},
            to_images(self.test.images[self.index[:_EXAMPLES]], "cpu").numpy(),
            attacked[:_EXAMPLES],
            batch,
        )

    def attack_batch(self, start: int, batch: int, run: Run) -> State:
        """Attack the images from ``start`` on, and collect evidence about the model.

        The tensors, on the CPU, have a value for each image.
        """
        rows = self.index[start : start + batch]
        images = to_images(self.test.images[rows], run.device)
        labels = torch.tensor(self.test.labels[rows], device=run.device)
        target, attack, logits = self.target, self.attack, _logits(self.target, images)
        notes = evidence.determinism(target.model, images, logits) if start == 0 else []
        climbs = attack.ball is not None and "gradients" in attack.needs
        try:
            at = evidence.slope(target.model, images, labels) if climbs else None
            with ExitStack() as stack:
                for model in filter(None, (target.model, target.surrogate)):
                    stack.enter_context(unchanged(model, partial(_changed, attack)))
                # Copies: an attack that works in place would move the images it starts from.
                made = attack(target, images.clone(), labels.clone(), self.generator(start), run)
        except GradientError as error:
            where = evidence.layer_without_gradient(target.model, error.images)
            raise EvaluationError(f"the model's gradient is not finite; see {where}") from None
        size = _checked_size(attack, made, images)
        after = _logits(target, made.images)
        counts = dict(made.counts)
        if attack.ball is not None and at is not None:
            made_of, noise = (images, labels, at, made.images), self.generator(start)
            counts |= evidence.counts(target.model, attack.ball, *made_of, noise)
            counts |= evidence.scale(logits)
        columns = {
            "label": labels,
            "clean_prediction": logits.argmax(1),
            "prediction": after.argmax(1),
            "size": size,
            "clean_confidence": logits.softmax(1).amax(1),
            "confidence": after.softmax(1).amax(1),
            "fooled_by": torch.full_like(labels, -1) if made.fooled_by is None else made.fooled_by,
            "attacked": made.images,
        }
        kept = {name: column.detach().cpu() for name, column in columns.items()}
        return State(kept, {"notes": [*made.notes, *notes], "counts": counts})


def _joined(parts: Sequence[State], batch: int) -> State:
    """Join finished batches of that size into all that is needed to continue after them."""
    names = parts[0].tensors if parts else ()
    columns = {name: torch.cat([part.tensors[name] for part in parts]) for name in names}
    notes, counts = set[str](), Counter[str]()
    for part in parts:
        notes.update(part.values["notes"])
        counts.update(part.values["counts"])
    return State(columns, {"batch": batch, "notes": sorted(notes), "counts": dict(counts)})


@dataclass(frozen=True)
class _Within(Checkpoints):
    """Checkpoints of the attack on one batch, saved together with the batches ``before`` it."""

    outer: Checkpoints
    before: Callable[[], State]
    own: State | None

    def load(self, accept: Accept = any_state) -> State | None:
        with suppress(Exception):  # it may say anything; then the batch starts again
            if self.own is not None:
                accept(self.own)
                return self.own
        return None

    def save_if_due(self, state: Callable[[], State]) -> None:
        def both() -> State:
            before, own = self.before(), state()
            named = {_OWN + name: tensor for name, tensor in own.tensors.items()}
            return State({**before.tensors, **named}, {**before.values, "attack": dict(own.values)})

        self.outer.save_if_due(both)


def _restored(found: State | None) -> tuple[list[State], State | None]:
    """The finished batches, as one, and the state of the attack within the next, if any."""
    if found is None:
        return [], None
    own = {n.removeprefix(_OWN): t for n, t in found.tensors.items() if n.startswith(_OWN)}
    columns = {n: t for n, t in found.tensors.items() if not n.startswith(_OWN)}
    within = State(own, found.values["attack"]) if "attack" in found.values else None
    return [State(columns, found.values)] if columns else [], within


def _logits(target: Target, images: Tensor) -> Tensor:
    version = images._version
    with torch.no_grad():
        logits = target.model(images)
    expected = [len(images), target.classes]
    given = f"{len(images)} images of {target.classes} classes"
    if not isinstance(logits, Tensor):
        raise EvaluationError(f"the model gives {shown(logits)} for {given}; expected {expected}")
    if list(logits.shape) != expected or logits.dtype != torch.float32:
        kind = "" if logits.dtype == torch.float32 else f"{logits.dtype} "
        raise EvaluationError(
            f"the model gives {kind}{list(logits.shape)} for {given}; expected float32 {expected}"
        )
    if not logits.isfinite().all():
        raise EvaluationError("the model's logits are not finite; its weights are damaged")
    if images._version != version:
        raise EvaluationError("the model writes into its images; it should leave them as they are")
    return logits


def _broken(attack: Attack, what: str) -> EvaluationError:
    return EvaluationError(broken(attack, "__call__", what))


def _changed(attack: Attack, what: str) -> EvaluationError:
    return _broken(attack, f"changed the model that it should leave as it is: {what}")


def _checked_size(attack: Attack, made: Attacked, images: Tensor) -> Tensor:
    """Each perturbation's size in the attack's norm, float32 [B]; nan for an attack without one."""
    if not isinstance(made, Attacked):
        raise _broken(attack, f"returned {shown(made)}; expected Attacked(images)")
    attacked = made.images
    if not isinstance(attacked, Tensor) or (
        (attacked.shape, attacked.dtype, attacked.device, attacked.requires_grad)
        != (images.shape, images.dtype, images.device, False)
    ):
        what = f"was given images {shown(images)} and returned {shown(attacked)}"
        raise _broken(attack, what)
    if not attacked.isfinite().all():
        raise _broken(attack, "returned pixels that are not finite")
    low, high = attacked.min().item(), attacked.max().item()
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise _broken(attack, f"left the pixel range [0, 1]: {low:.6f} to {high:.6f}")
    if attack.ball is None:
        return torch.full((len(images),), torch.nan)
    size, eps = attack.ball.size(attacked.double(), images.double()), attack.ball.eps
    # Every pixel is rounded to float32, and a norm adds that up: in L1 it is most for many pixels.
    half_ulps = torch.full_like(images[:1], 2.0**-25, dtype=torch.float64)
    rounding = attack.ball.size(half_ulps, torch.zeros_like(half_ulps)).item()
    if size.max().item() > eps + rounding + TOLERANCE * max(1.0, eps):
        raise _broken(attack, f"left its ball: size {size.max().item():.8f} > eps {eps:.8f}")
    return size.float()
