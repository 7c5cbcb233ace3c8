"""Accuracy of linear probes on the drawn sets, and a page of samples.

    python benchmarks/shapes.py
    python benchmarks/shapes.py --page docs/shapes.png

Probes are fitted on all images to train on, and tested on all test images. The encoder is that of
the preset `quick`; the supervised one was trained with its labels, without augmentation.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from robench.catalog.catalog import Catalog
from robench.contracts import Batch, Data, Encoder, Objective, ProbeData, Run, TrainingSet
from robench.data import shapes
from robench.engine.pretrain import pretrain
from robench.engine.progress import silent
from robench.grid.recipe import Recipe
from robench.probes.linear import Linear
from robench.tensors.features import to_images

RUN = Run(silent)
RECIPE = Recipe(epochs=20, batch=128, lr=2e-3, warmup=1)


class Pixels(Encoder):
    """The image itself."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.width = 3 * size * size

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class Supervised(Objective):
    """Cross-entropy of a linear layer on the encoder."""

    uses_labels = True

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder, self.layer = encoder, nn.Linear(encoder.width, classes)

    def forward(self, batch: Batch) -> Tensor:
        assert batch.labels is not None
        return cross_entropy(self.layer(self.encoder(batch.images)), batch.labels)


def encoders(data: Data, spec: str) -> dict[str, Encoder]:
    """The three encoders to probe, each in eval mode."""
    torch.manual_seed(0)
    random, trained = (Catalog().build("encoders", spec) for _ in range(2))
    train = TrainingSet(*map(torch.from_numpy, (data.train.images, data.train.labels)))
    objective = Supervised(trained, len(data.classes))
    pretrain(objective, train, RECIPE, Generator().manual_seed(0), RUN, "supervised")
    pixels = Pixels(data.train.images.shape[-1])
    found = {"raw pixels": pixels, "random encoder": random, "supervised encoder": trained}
    return {name: encoder.eval() for name, encoder in found.items()}


def accuracy(encoder: Encoder, data: Data) -> float:
    """The share of the test images that a linear probe classifies correctly."""
    probe = Linear().fit(encoder, ProbeData.of(data), Generator().manual_seed(0), RUN)
    with torch.no_grad():
        predicted = probe(encoder(to_images(data.test.images, torch.device("cpu")))).argmax(1)
    return float((predicted.numpy() == data.test.labels).mean())


def page(path: Path) -> None:
    """Draw each material in each outline, as large as they are trained on, and magnified."""
    from matplotlib.figure import Figure

    names = [list(shapes.MATERIALS), list(shapes.OUTLINES)]
    kinds = [shapes.Kind(material, outline) for material in names[0] for outline in names[1]]
    images = shapes.draw(kinds, 16, np.random.default_rng(0)).transpose(0, 2, 3, 1)
    figure = Figure((6.5, 7), layout="constrained")
    axes = figure.subplots(len(names[0]), len(names[1]))
    for ax, image in zip(axes.flat, images, strict=True):
        ax.imshow(image)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for ax, name in zip(axes[:, 0], names[0], strict=True):
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for ax, name in zip(axes[0], names[1], strict=True):
        ax.set_title(name, fontsize=8)
    for ax in np.diag(axes):
        ax.spines[:].set(visible=True, linewidth=2)
    figure.savefig(path, dpi=100, pil_kwargs={"optimize": True})


def table() -> None:
    """Print the accuracies of the probes, a row a data set."""
    catalog = Catalog()
    (spec,) = catalog.preset("quick").encoders
    print("| data set | chance | raw pixels | random encoder | supervised encoder |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in ("shapes10", "shapes100"):
        data = catalog.build("datasets", name).load(Path(), silent)
        found = [accuracy(encoder, data) for encoder in encoders(data, spec).values()]
        cells = [f"{share:.1%}" for share in (1 / len(data.classes), *found)]
        print(f"| `{name}` | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="draw a page of samples instead")
    asked = parser.parse_args()
    if asked.page:
        page(asked.page)
    else:
        table()


if __name__ == "__main__":
    main()
