"""What every probe starts from: the features of a whole split."""

from torch import Tensor

from robench.contracts import Encoder, Progress, Split
from robench.tensors.features import extract, to_images


def features(encoder: Encoder, split: Split, batch: int, progress: Progress) -> Tensor:
    """The encoder's features of a split, float32 [n, D], made ``batch`` images at a time."""
    device = next(encoder.parameters()).device
    starts = range(0, len(split), batch)
    return extract(
        encoder,
        (
            to_images(split.images[start : start + batch], device)
            for start in progress(starts, "features")
        ),
    )
