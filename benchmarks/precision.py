"""Effect of training in bfloat16 on accuracies: short runs on real images, paired by seed.

    python benchmarks/precision.py --data data

Each seed trains twice, once in each precision, from the same weights, on the same batches and
views.
"""

import argparse
import math
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from measuring import machine, show

from robench.api import run

Accuracies = dict[str, list[float]]
"""For "clean" and each radius, an accuracy per seed."""


def train(method: str, precision: str, seeds: list[int], asked: argparse.Namespace) -> Accuracies:
    """Pretrain, probe and attack; returns accuracies in percent."""
    with tempfile.TemporaryDirectory() as folder:
        results = run(
            method,
            "pgd",
            preset="cifar-small",
            sources="cifar10",
            targets="cifar10",
            encoders=asked.encoder,
            seeds=seeds,
            norms="linf",
            eps=asked.eps,
            limit=asked.limit,
            epochs=asked.epochs,
            images=asked.images,
            precision=precision,
            out=Path(folder) / "out",
            zoo=Path(folder) / "zoo",
            data=asked.data,
            device="cpu",
        )
        found: Accuracies = {}
        for result in sorted(results, key=lambda one: one.cell.seed):
            name = f"pgd {result.cell.eps}" if result.cell.eps else "clean"
            found.setdefault(name, []).append(100 * result.cell.correct / result.cell.n)
    return found


def compare(half: list[float], full: list[float]) -> dict[str, float]:
    """Mean and standard deviation over seeds of each precision, and of their difference."""
    difference = [a - b for a, b in zip(half, full, strict=True)]
    return {
        "bf16": mean(half),
        "bf16_sd": stdev(half),
        "fp32": mean(full),
        "fp32_sd": stdev(full),
        "difference": mean(difference),
        "difference_standard_error": stdev(difference) / math.sqrt(len(difference)),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--methods", nargs="*", default=["plain", "rocl"])
    parser.add_argument("--encoder", default="resnet8")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--eps", default="2/255")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    table: dict[str, list[object]] = {"": ["bf16", "sd", "fp32", "sd", "difference", "its s.e."]}
    rows: list[dict[str, Any]] = []
    for method in asked.methods:
        half, full = (train(method, kind, asked.seeds, asked) for kind in ("bf16", "fp32"))
        for name in half:
            made = compare(half[name], full[name])
            rows.append({"method": method, "attack": name, **made})
            table[f"{method} {name}"] = list(made.values())
    show(
        {
            "benchmark": "precision",
            "encoder": asked.encoder,
            "images": asked.images,
            "epochs": asked.epochs,
            "seeds": asked.seeds,
            **machine(),
            "rows": rows,
        },
        table,
    )
