"""Seconds per linear probe, against RoCL's 150 epochs through the frozen encoder.

    python benchmarks/probe.py --data data

RoCL's time is extrapolated from a few batches to 150 epochs, which would take hours. Its accuracy
is that of the same 150 epochs on features that are extracted once. The encoder is one of the zoo.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from measuring import Taken, machine, medians, show, timed
from torch import Generator, nn
from torch.nn.functional import cross_entropy

from robench.api import load_encoder
from robench.catalog.catalog import Catalog
from robench.contracts import Encoder, Probe, ProbeData, Run, Split
from robench.engine.progress import silent
from robench.engine.subset import training_subset
from robench.probes.linear import Linear
from robench.probes.linear_sgd import LinearSGD
from robench.store.store import Store
from robench.tensors.features import extract, to_images


def authors_batch(encoder: Encoder, layer: nn.Module, split: Split, batch: int) -> Taken:
    """Time one step of src/linear_eval.py:147-230: encode a batch, and train the layer on it."""
    descent = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    images = to_images(split.images[:batch], "cpu")
    labels = torch.tensor(split.labels[:batch])

    def step() -> None:
        with torch.no_grad():
            features = encoder(images)
        loss = cross_entropy(layer(features), labels)
        descent.zero_grad()
        loss.backward()
        descent.step()

    return timed(step)


def accuracy(layer: nn.Module, features: torch.Tensor, split: Split) -> float:
    """The share of the split that the layer classifies correctly."""
    with torch.no_grad():
        predicted = layer(features).argmax(1)
    return (predicted == torch.tensor(split.labels)).double().mean().item()


def measure(key: str, zoo: Path, root: Path, images: int | None, batches: int) -> dict[str, Any]:
    """Fit both probes on the encoder with that key and its own data set."""
    encoder = load_encoder(key, zoo)
    card = Store(Path("results"), zoo, print).card_by_key(key)
    assert card is not None
    data = Catalog().build("datasets", card.question.dataset).load(root, silent)
    data = training_subset(data, images)
    total = len(data.train) + len(data.held_out)
    fitted: dict[str, nn.Module] = {}

    def fit(name: str, probe: Probe) -> None:
        generator = Generator().manual_seed(0)
        given = ProbeData.of(data)
        fitted[name] = probe.fit(encoder, given, generator, Run(silent))

    ours = timed(lambda: fit("linear", Linear()))
    fit("authors", LinearSGD())
    batch = min(1024, total)
    layer = nn.Linear(encoder.width, len(data.classes))
    each = [authors_batch(encoder, layer, data.train, batch) for _ in range(batches + 1)][1:]
    steps = 150 * math.ceil(total / batch)
    theirs = medians(each)
    pictures = (
        to_images(data.test.images[i : i + 500], "cpu") for i in range(0, len(data.test), 500)
    )
    features = extract(encoder, pictures)
    return {
        "benchmark": "probe",
        "encoder": key,
        "images": total,
        "classes": len(data.classes),
        **machine(),
        "seconds": ours.wall,
        "authors_seconds_a_batch": theirs.wall,
        "authors_batches": steps,
        "authors_seconds": steps * theirs.wall,
        "times_as_fast": steps * theirs.wall / ours.wall,
        "times_as_fast_by_cpu": steps * theirs.cpu / ours.cpu,
        "accuracy": accuracy(fitted["linear"], features, data.test),
        "authors_accuracy": accuracy(fitted["authors"], features, data.test),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--key", help="An encoder of the zoo.  [default: plain on cifar10]")
    parser.add_argument("--zoo", type=Path, default=Path("zoo"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--images", type=int, help="Training images.  [default: all]")
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    key = asked.key or next(path.name for path in sorted(asked.zoo.glob("plain-cifar10-*")))
    row = measure(key, asked.zoo, asked.data, asked.images, asked.batches)
    show(
        row,
        {
            "": ["seconds", "test accuracy"],
            "robench": [row["seconds"], row["accuracy"]],
            "RoCL's 150 epochs": [row["authors_seconds"], row["authors_accuracy"]],
            "times as fast": [row["times_as_fast"], ""],
        },
    )
