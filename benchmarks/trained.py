"""A trained encoder with its probe, and test images, for the scripts here to attack."""

import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Places, Request
from robench.engine.bench import Bench
from robench.engine.progress import bar
from robench.engine.subset import rows
from robench.grid.questions import key
from robench.grid.spec import parse
from robench.store.store import Store
from robench.tensors.features import to_images

SHORT = {"epochs": 2, "images": 2048}
"""The pretraining of other encoders: some minutes, and robust enough that some images stand."""


def trained(
    method: str, encoder: str, count: int, cache: Path, zoo: Path = Path("zoo")
) -> tuple[nn.Module, Tensor, Tensor]:
    """A classifier in eval mode, and ``count`` of CIFAR-10's test images in [0, 1], with labels.

    ResNet-8 is trained as in the preset ``cifar-small``, or read from ``zoo``; other encoders are
    pretrained for a few minutes. Trained models are stored in ``cache``.
    """
    catalog = Catalog()
    cifar = (parse("cifar10"),)
    cut = {} if encoder == "resnet8" else SHORT
    (question,) = plan(
        Request(
            preset="cifar-small",
            methods=(parse(method),),
            attacks=(parse("clean"),),
            sources=cifar,
            targets=cifar,
            encoders=(parse(encoder),),
            **cut,
        ),
        catalog,
    )
    name = key(question.probing.pretraining)
    if (zoo / name).exists() and not (cache / "zoo" / name).exists():
        shutil.copytree(zoo / name, cache / "zoo" / name)
    store = Store(cache / "results", cache / "zoo", print)
    store.prepare()
    bench = Bench(catalog, store, Places().root, torch.device("cpu"), bar, print)
    test = bench.data(question.probing.dataset).test
    model = bench.classifier(question.probing).eval()
    index = rows(len(test), count)
    images = to_images(test.images[index], torch.device("cpu"))
    return model, images, torch.tensor(test.labels[index])
