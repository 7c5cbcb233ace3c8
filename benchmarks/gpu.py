"""Pretraining on a GPU: images per second, share of the card's rate, hours, memory.

    python benchmarks/gpu.py

The baseline is that of `pretrain_step.py`, on the same card and in turns, with torch's default for
TF32. To try the script without a GPU:

    python benchmarks/gpu.py --device cpu --batch 16 --encoder "resnet8(width=8)"
"""

import argparse
from typing import Any

import torch
from measuring import show
from pretrain_step import METHODS, make, measure
from torch import Generator

from robench.contracts import Run, TrainingSet
from robench.engine.pretrain import pretrain
from robench.engine.progress import silent
from robench.grid.recipe import Recipe

EPOCHS, IMAGES = 1000, 50_000
"""RoCL's schedule (src/argument.py:125) and the training images of CIFAR."""


def peak(method: str, batch: int, encoder: str, device: str) -> float | None:
    """Peak memory of two training steps on a GPU, in GB, including CIFAR's pixels."""
    if torch.device(device).type != "cuda":
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    pixels = torch.zeros(IMAGES, 3, 32, 32, dtype=torch.uint8, device=device)
    recipe = Recipe(epochs=1, batch=batch, optimizer="lars", lr=1.5, precision="bf16")
    generator = Generator(device=device).manual_seed(0)
    objective = make(method, encoder, torch.device(device))
    run = Run(silent, device=torch.device(device))
    pretrain(objective, TrainingSet(pixels[: 2 * batch]), recipe, generator, run, "")
    return torch.cuda.max_memory_allocated(device) / 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--pairs", type=int, default=10)
    asked = parser.parse_args()
    table: dict[str, list[object]] = {
        "": ["images/s", "times the baseline", "of bf16 rate", "hours, 1000 epochs", "peak GB"]
    }
    rows: list[dict[str, Any]] = []
    for method in asked.methods:
        row = measure(
            method,
            batch=asked.batch,
            encoder=asked.encoder,
            device=asked.device,
            pairs=asked.pairs,
        )
        row["hours"] = EPOCHS * (IMAGES // asked.batch) * row["seconds"] / 3600
        row["peak_gigabytes"] = peak(method, asked.batch, asked.encoder, asked.device)
        rows.append(row)
        shown = "images_per_second", "times_as_fast", "share_of_bf16", "hours", "peak_gigabytes"
        table[method] = [row[name] for name in shown]
    show({"benchmark": "gpu", "rows": rows}, table)
