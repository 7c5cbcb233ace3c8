"""Attack a classifier on test images, and record what happened to each image."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn

from robench.contracts import NO_CHECKPOINTS, Attack, Checkpoints, Outcome, Progress, Split, State
from robench.engine import evidence as checks
from robench.engine.calls import counted_calls
from robench.engine.parts import Part, joined, restored, state
from robench.tensors.features import to_images
from robench.tensors.memory import is_out_of_memory, release
from robench.tensors.modes import evaluating, full_precision, only_evaluating
from robench.trust.flags import RECOMPUTED_OTHERWISE, TEST_IMAGES
from robench.within import Within

TOLERANCE = 1e-6  # of the ball's radius and the pixel range: float32's rounding, nothing more

HALVED = "halved-batch"
"""Notes that memory did not suffice for the batch that was asked for."""


class EvaluationError(Exception):
    """A number would not be worth anything; the message says which rule was broken."""


@dataclass(frozen=True)
class Attempt:
    """An attack's outcome, what it noticed, and a few images, float32 [m, 3, H, W], to look at.

    ``counts`` says on how many images the attack noticed what can be counted, and what this stage
    counted itself (`robench.trust.flags`). ``batch`` is how many images were attacked at a time;
    where that is fewer than asked for, a note says `HALVED`.
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
    classes: int,
    dice: Callable[[int], Generator],
    progress: Progress,
    label: str,
    examples: int = 8,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Attempt:
    """Attack the test images in the rows ``index``, ``batch`` at a time.

    ``model`` maps images to logits of so many ``classes``; ``dice(start)`` seeds the batch at
    ``start``, so what ``checkpoints`` have is gone on from to the same bits. The model runs in eval
    mode and full float32; predictions are made anew from the images that the attack returned, and
    once more when all are attacked. Where memory does not suffice, all images are attacked anew in
    batches of half the size. Raises EvaluationError for images of another shape, outside the ball
    or the pixel range, for logits that are not finite or of other classes, for a model, or a part
    of it, that is in train mode, or where memory does not suffice for a single image.
    """
    found = checkpoints.load()
    size = batch if found is None else found.values["batch"]
    attempt = partial(
        _attack, model, attack, test, index, classes, dice, progress, label, examples, checkpoints
    )
    while True:
        try:
            whole, repeated = attempt(size, found)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise EvaluationError("memory does not suffice to attack one image") from None
        release()
        size, found = min(size, len(index)) // 2 or 1, None
    *columns, attacked = (column.numpy() for column in whole.columns)
    truth, clean, clean_confidence, after, confidence, sizes = columns
    again = repeated.numpy()
    counts = {
        **whole.counts,
        TEST_IMAGES: len(test),
        RECOMPUTED_OTHERWISE: int(((again == truth) != (after == truth)).sum()),
    }
    return Attempt(
        Outcome(index, truth, clean, after, sizes.astype(np.float32), clean_confidence, confidence),
        tuple(sorted(whole.notes | ({HALVED} if size < batch else set()))),
        counts,
        whole.shown.numpy(),
        attacked[:examples],
        size,
    )


def _attack(
    model: nn.Module,
    attack: Attack,
    test: Split,
    index: npt.NDArray[np.int64],
    classes: int,
    dice: Callable[[int], Generator],
    progress: Progress,
    label: str,
    examples: int,
    checkpoints: Checkpoints,
    batch: int,
    found: State | None,
) -> tuple[Part, Tensor]:
    """What happened to all images, from where the state ``found`` is; and how the attacked images
    are predicted in a pass of its own.
    """
    device = next(model.parameters()).device
    parts = [] if found is None else restored(found)
    done = sum(len(part) for part in parts)
    starts = range(0, len(index), batch)
    calls = math.ceil(attack.passes(classes)[1]) + 3  # with both predictions and a gradient
    with (
        evaluating(model),
        full_precision(),
        only_evaluating(model, EvaluationError),
        counted_calls(model, calls, len(starts), progress, label) as begin,
    ):
        for start in starts:
            begin()
            if start < done:
                continue
            chosen = index[start : start + batch]
            images = _images(test.images[chosen], device)
            labels = _labels(test.labels[chosen], classes, device)
            logits = _logits(model, images, classes)
            notes = checks.steadiness(model, images, logits) if start == 0 else []
            before = partial(state, tuple(parts), batch)
            within = Within(checkpoints, before, found if start == done else None)
            # Copies: an attack that works in place would move the images it is measured from.
            made = attack.resume(model, images.clone(), labels.clone(), dice(start), within)
            attacked = made.images
            size = _checked_size(attack, attacked, images)
            predicted, confidence = _predicted(_logits(model, attacked, classes))
            counts = Counter(made.counts)
            if attack.ball.eps > 0:
                standing = predicted == labels
                counts.update(checks.counted(model, attack.ball, images, labels, logits, standing))
            columns = (labels, *_predicted(logits), predicted, confidence, size, attacked)
            parts.append(
                Part(
                    tuple(column.cpu() for column in columns),
                    images[: max(0, examples - start)].cpu(),
                    frozenset([*made.notes, *notes]),
                    counts,
                )
            )
            checkpoints.save_if_due(partial(state, tuple(parts), batch))
        whole = joined(parts)
        again = [
            _logits(model, attacked.to(device), classes).argmax(1).cpu()
            for attacked in torch.split(whole.columns[-1], batch)
        ]
    return whole, torch.cat(again)


def _images(stored: npt.NDArray[Any], device: torch.device) -> Tensor:
    images = to_images(stored, device)
    low, high = images.min().item(), images.max().item()
    if not (stored.dtype == np.uint8 and 0 <= low <= high <= 1):
        raise EvaluationError(
            f"the test images lie in [{low:.3g}, {high:.3g}] as {stored.dtype}; expected stored "
            "pixels, uint8 in 0 to 255, which are [0, 1]"
        )
    return images


def _labels(stored: npt.NDArray[np.int64], classes: int, device: torch.device) -> Tensor:
    low, high = stored.min(), stored.max()
    if low < 0 or high >= classes:
        raise EvaluationError(
            f"the test labels lie in {low} to {high}; with {classes} classes they are "
            f"0 to {classes - 1}"
        )
    return torch.tensor(stored, device=device)


def _logits(model: nn.Module, images: Tensor, classes: int) -> Tensor:
    with torch.no_grad():
        logits = torch.as_tensor(model(images))
    if logits.shape != (len(images), classes):
        raise EvaluationError(
            f"the model gives {list(logits.shape)} for {len(images)} images of {classes} classes; "
            f"expected [{len(images)}, {classes}]"
        )
    if not logits.isfinite().all():
        raise EvaluationError("the model's logits are not finite; its weights are damaged")
    return logits


def _predicted(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The predicted class of each image, and its softmax probability: [B] each."""
    predicted = logits.argmax(1)
    return predicted, logits.softmax(1).gather(1, predicted[:, None])[:, 0].float()


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
