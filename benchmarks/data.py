"""Images per second, with two random views of each, against torchvision on PIL.

    python benchmarks/data.py --batch 256

torchvision's transforms run as in the authors' code, in as many worker processes of a DataLoader as
robench has threads; the workers are started beforehand. robench keeps freed memory, as its command
line does. The two take turns.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from measuring import Taken, machine, medians, paired, show, timed
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from robench.engine.work import keep_freed_memory
from robench.tensors.augment import Augment
from robench.tensors.learners import rocl_views, simclr_views

VIEWS: dict[str, Callable[[float, float], Augment]] = {"simclr": simclr_views, "rocl": rocl_views}


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """A data set of two views per image, made as in the authors' code."""

    def __init__(self, pixels: Tensor, order: str) -> None:
        self.pixels = pixels.permute(0, 2, 3, 1).numpy()
        crop = transforms.RandomResizedCrop(pixels.shape[2])
        flip = transforms.RandomHorizontalFlip()
        jitter = transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)
        grey = transforms.RandomGrayscale(0.2)
        steps = [crop, flip, jitter, grey] if order == "simclr" else [jitter, grey, flip, crop]
        self.view = transforms.Compose([*steps, transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        image = Image.fromarray(self.pixels[row])
        return self.view(image), self.view(image)


def forever(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield batches without end from the same workers."""
    while True:
        yield from loader


def measure(batch: int, batches: int, pairs: int, order: str) -> dict[str, Any]:
    """Time both on ``batches`` batches in turns, ``pairs`` times."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (20 * batch, 3, 32, 32), dtype=np.uint8))
    loader = DataLoader(
        Pairs(pixels, order),
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=torch.get_num_threads(),
        persistent_workers=True,
        # A deep queue would return batches that were made during the other's turn.
        prefetch_factor=1,
    )
    keep_freed_memory()  # as the command line does
    theirs_ready, augment = forever(loader), VIEWS[order](0.5, 0.08)
    generator = Generator().manual_seed(0)

    def ours() -> None:
        for _ in range(batches):
            rows = torch.randperm(len(pixels), generator=generator)[:batch]
            images = pixels[rows].float().div_(255)
            for _ in range(2):
                augment(images, generator)

    def theirs() -> None:
        for _ in range(batches):
            next(theirs_ready)

    for warm in (ours, theirs):
        warm()
    times: tuple[list[Taken], list[Taken]] = ([], [])
    for _ in range(pairs):
        for kept, work in zip(times, (ours, theirs), strict=True):
            kept.append(timed(work))
    seconds = [medians(kept).wall for kept in times]
    return {
        "benchmark": "data",
        "order": order,
        "batch": batch,
        "batches": batches,
        "pairs": pairs,
        **machine(),
        "images_per_second": batch * batches / seconds[0],
        "torchvision_images_per_second": batch * batches / seconds[1],
        "times_as_fast": paired(times[1], times[0])[0],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--order", choices=tuple(VIEWS), default="rocl")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    row = measure(asked.batch, asked.batches, asked.pairs, asked.order)
    columns = ["images_per_second", "torchvision_images_per_second", "times_as_fast"]
    header = ["images/s", "torchvision", "times as fast"]
    show(row, {"": header, f"two views, {row['order']}": [row[name] for name in columns]})
