"""Peak memory of the preset ``cifar`` on a CPU, reading the data included.

    python benchmarks/memory.py --data data

Each method trains for some steps in its own process, since the system records one peak per process.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Clock, machine, show
from torch import Generator

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.contracts import Run, TrainingSet
from robench.engine.pretrain import pretrain
from robench.engine.progress import silent
from robench.engine.work import keep_freed_memory
from robench.grid.spec import parse_list

METHODS = ("plain", "clae", "rocl")


def measure(method: str, root: Path, steps: int) -> dict[str, Any]:
    """Read the data and train for ``steps``, as `robench run --preset cifar` does."""
    catalog = Catalog()
    asked = Request(preset="cifar", methods=parse_list(method), sources=parse_list("cifar10"))
    question = plan(asked, catalog)[0].probing.pretraining
    data = catalog.build("datasets", question.dataset).load(root, silent)
    images = torch.from_numpy(np.concatenate([data.train.images, data.held_out.images]))
    read = peak()
    encoder = catalog.build("encoders", question.encoder)
    objective = catalog.build_objective(question.objective, encoder)

    def first(items: Sequence[Any], label: str) -> Iterator[Any]:
        return islice(items, steps)

    clock = Clock()
    keep_freed_memory()
    generator = Generator().manual_seed(0)
    pretrain(objective, TrainingSet(images), question.recipe, generator, Run(first), method)
    return {
        "benchmark": "memory",
        "method": method,
        "encoder": question.encoder,
        "batch": question.recipe.batch,
        "steps": steps,
        **machine(),
        "seconds": clock.taken().wall,
        "data_gigabytes": read,
        "gigabytes": peak(),
    }


def peak() -> float:
    """Peak memory of this process so far, in GB of 10^9 bytes (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        print(json.dumps(measure(asked.methods[0], asked.data, asked.steps), default=str))
    else:
        table: dict[str, Sequence[object]] = {"": ["peak, GB", "data alone, GB", "steps"]}
        rows = []
        for name in asked.methods:
            command = [sys.executable, __file__, name, "--alone", "--data", str(asked.data)]
            command += ["--steps", str(asked.steps)]
            printed = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
            rows.append(json.loads(printed))
            table[name] = [rows[-1]["gigabytes"], rows[-1]["data_gigabytes"], rows[-1]["steps"]]
        show({"benchmark": "memory", "methods": rows}, table)
