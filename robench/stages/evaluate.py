"""Attack a classifier on test images, and record what happened to each image."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn

from robench.contracts import FORGETFUL, Attack, Checkpoints, Outcome, Progress, Split, State
from robench.stages.calls import counted_calls
from robench.tensors.features import to_images
from robench.tensors.memory import is_out_of_memory, release
from robench.tensors.modes import evaluating, full_precision

TOLERANCE = 1e-6  # of the ball's radius and the pixel range: float32's rounding, nothing more


HALVED = "halved-batch"
"""Notes that memory did not suffice for the batch that was asked for."""


class EvaluationError(Exception):
    """A number would not be worth anything; the message says which rule was broken."""


@dataclass(frozen=True)
class Attempt:
    """An attack's outcome, what it noticed, and a few images, float32 [m, 3, H, W], to look at.

    ``counts`` says on how many images it noticed what can be counted. ``batch`` is how many images
    were attacked at a time; where that is fewer than asked for, a note says `HALVED`.
    """

    outcome: Outcome
    notes: tuple[str, ...]
    counts: dict[str, int]
    clean: npt.NDArray[np.float32]
    attacked: npt.NDArray[np.float32]
    batch: int


def evaluate(
    model: nn.Module,
    attack: Attack,
    test: Split,
    index: npt.NDArray[np.int64],
    batch: int,
    dice: Callable[[int], Generator],
    progress: Progress,
    label: str,
    examples: int = 8,
    checkpoints: Checkpoints = FORGETFUL,
) -> Attempt:
    """Attack the test images in the rows ``index``, ``batch`` at a time.

    ``model`` maps images to logits; ``dice(start)`` seeds the batch at ``start``, so what
    ``checkpoints`` have is gone on from to the same bits. The model runs in eval mode and full
    float32; predictions are made anew from the images that the attack returned.
    Where memory does not suffice, all images are attacked anew in batches of half the size. Raises
    EvaluationError for images of another shape, outside the ball or the pixel range, for logits
    that are not finite, or where memory does not suffice for a single image.
    """
    found = checkpoints.load()
    size = batch if found is None else found.values["batch"]
    attempt = partial(
        _attack, model, attack, test, index, dice, progress, label, examples, checkpoints
    )
    while True:
        try:
            parts = attempt(size, found)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise EvaluationError("memory does not suffice to attack one image") from None
        release()
        size, found = min(size, len(index)) // 2 or 1, None
    whole = _joined(parts)
    truth, clean, after, sizes = (column.numpy() for column in whole.columns)
    before_images, after_images = (picture.numpy() for picture in whole.shown)
    outcome = Outcome(index, truth, clean, after, sizes.astype(np.float32))
    notes = whole.notes | ({HALVED} if size < batch else set())
    return Attempt(
        outcome, tuple(sorted(notes)), dict(whole.counts), before_images, after_images, size
    )


def _attack(
    model: nn.Module,
    attack: Attack,
    test: Split,
    index: npt.NDArray[np.int64],
    dice: Callable[[int], Generator],
    progress: Progress,
    label: str,
    examples: int,
    checkpoints: Checkpoints,
    batch: int,
    found: State | None,
) -> list["_Part"]:
    """What happened to all images, but for what had happened already in the state ``found``."""
    device = next(model.parameters()).device
    parts = [] if found is None else _restored(found)
    done = sum(len(part.columns[0]) for part in parts)
    starts = range(0, len(index), batch)
    calls = math.ceil(attack.passes(len(np.unique(test.labels)))[1]) + 2  # with both predictions
    with (
        evaluating(model),
        full_precision(),
        counted_calls(model, calls, len(starts), progress, label) as begin,
    ):
        for start in starts:
            begin()
            if start < done:
                continue
            chosen = index[start : start + batch]
            images = to_images(test.images[chosen], device)
            labels = torch.tensor(test.labels[chosen], device=device)
            predicted = _predict(model, images)
            within = _Within(checkpoints, tuple(parts), batch, found if start == done else None)
            # Copies: an attack that works in place would move the images it is measured from.
            made = attack.resume(model, images.clone(), labels.clone(), dice(start), within)
            attacked = made.images
            size = _checked_size(attack, attacked, images)
            columns = labels, predicted, _predict(model, attacked), size
            shown = slice(max(0, examples - start))
            parts.append(
                _Part(
                    tuple(column.cpu() for column in columns),
                    (images[shown].cpu(), attacked[shown].cpu()),
                    frozenset(made.notes),
                    made.counts,
                )
            )
            checkpoints.reached(partial(_state, tuple(parts), batch))
    return parts


@dataclass(frozen=True)
class _Part:
    """What happened to the images of some batches, on the CPU.

    ``columns`` has a value an image in each: label, both predictions, size; ``shown`` the clean and
    the attacked images that are kept to look at.
    """

    columns: tuple[Tensor, ...]
    shown: tuple[Tensor, ...]
    notes: frozenset[str]
    counts: Mapping[str, int]


def _joined(parts: Sequence[_Part]) -> _Part:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    return _Part(
        tuple(torch.cat(columns) for columns in zip(*(p.columns for p in parts), strict=True)),
        tuple(torch.cat(pictures) for pictures in zip(*(p.shown for p in parts), strict=True)),
        frozenset().union(*(part.notes for part in parts)),
        counts,
    )


def _state(parts: Sequence[_Part], batch: int) -> State:
    if not parts:
        return State({}, {"batch": batch})
    whole = _joined(parts)
    tensors = {f"columns.{i}": column for i, column in enumerate(whole.columns)}
    tensors |= {f"shown.{i}": pictures for i, pictures in enumerate(whole.shown)}
    values = {"batch": batch, "notes": sorted(whole.notes), "counts": dict(whole.counts)}
    return State(tensors, values)


def _restored(state: State) -> list[_Part]:
    columns, shown = (
        tuple(state.tensors[name] for name in sorted(state.tensors) if name.startswith(kind))
        for kind in ("columns.", "shown.")
    )
    if not columns:
        return []
    return [_Part(columns, shown, frozenset(state.values["notes"]), state.values["counts"])]


@dataclass(frozen=True)
class _Within:
    """The checkpoints of an attack on one batch: with its state, what happened before is kept."""

    outer: Checkpoints
    before: tuple[_Part, ...]
    batch: int
    found: State | None

    def load(self) -> State | None:
        if self.found is None or "attack" not in self.found.values:
            return None
        own = {
            name.removeprefix("attack."): tensor
            for name, tensor in self.found.tensors.items()
            if name.startswith("attack.")
        }
        return State(own, self.found.values["attack"])

    def reached(self, state: Callable[[], State]) -> None:
        def both() -> State:
            before, own = _state(self.before, self.batch), state()
            tensors = {f"attack.{name}": tensor for name, tensor in own.tensors.items()}
            values = {**before.values, "attack": dict(own.values)}
            return State({**before.tensors, **tensors}, values)

        self.outer.reached(both)


def _predict(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits = model(images)
    if not logits.isfinite().all():
        raise EvaluationError("the model's logits are not finite; its weights are damaged")
    return torch.as_tensor(logits.argmax(1))


def _checked_size(attack: Attack, attacked: Tensor, images: Tensor) -> Tensor:
    name = type(attack).__name__
    if attacked.shape != images.shape:
        given, returned = list(images.shape), list(attacked.shape)
        raise EvaluationError(f"{name} was given images {given} and returned {returned}")
    if not attacked.isfinite().all():
        raise EvaluationError(f"{name} returned pixels that are not finite")
    low, high = attacked.min().item(), attacked.max().item()
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise EvaluationError(f"{name} left the pixel range [0, 1]: {low:.6f} to {high:.6f}")
    size = attack.ball.size(attacked.double(), images.double())
    eps = attack.ball.eps
    if size.max().item() > eps + TOLERANCE * max(1.0, eps):
        raise EvaluationError(f"{name} left its ball: size {size.max().item():.8f} > eps {eps:.8f}")
    return size
