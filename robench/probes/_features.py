"""What every probe starts from: the features of a whole split."""

import warnings
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robench.contracts import Encoder, Progress, Split
from robench.journal import Journal, Question
from robench.tensors.features import extract, to_images
from robench.tensors.memory import is_out_of_memory, release


def features(
    encoder: Encoder, split: Split, batch: int, progress: Progress, journal: Journal
) -> Tensor:
    """The encoder's features of a split, float32 [n, D], made ``batch`` images at a time.

    Where memory does not suffice, half as many at a time, with a warning: an image's features are
    its own, whatever else is in the batch, but for rounding. Those that the journal has are not
    made again.
    """
    device = next(encoder.parameters()).device
    found: list[Tensor] = []
    for start in progress(range(0, len(split), batch), "features"):
        rows = split.images[start : start + batch]
        question = Question(torch.tensor(rows, device=device))
        found.append(journal.tensor(question, partial(_made, encoder, rows, batch, device)))
    return torch.cat(found)


def _made(encoder: Encoder, rows: npt.NDArray[np.uint8], size: int, device: torch.device) -> Tensor:
    while True:
        try:
            parts = (rows[i : i + size] for i in range(0, len(rows), size))
            return extract(encoder, (to_images(part, device) for part in parts))
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        release()
        size //= 2
        warnings.warn(
            f"memory does not suffice for the features of {2 * size} images at a time; "
            f"made {size} at a time",
            stacklevel=2,
        )
