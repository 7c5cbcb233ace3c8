"""Every method learns on drawn shapes; those that claim it keep features of images apart."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from batches import RUN
from torch import Generator, Tensor

from robench.catalog.catalog import Catalog
from robench.contracts import Batch, Objective, Teacher, TrainingSet
from robench.data import shapes
from robench.datasets.shapes10 import Shapes10
from robench.engine.pretrain import pretrain
from robench.grid.recipe import Recipe
from robench.objectives.simsiam import SimSiam
from robench.tensors.contrast import mean_cosine, unit_length
from robench.tensors.features import fingerprint
from robench.tensors.learners import projector
from robench.tensors.modes import preserved_random_state

SIZES = "hidden=64, output=32"
METHODS = [
    f"simsiam({SIZES})",
    f"byol({SIZES})",
    f"barlow({SIZES})",
    f"vicreg({SIZES})",
]


class Attraction(SimSiam):
    """SimSiam without a predictor, without BatchNorm after it and without its constant side."""

    def forward(self, batch: Batch) -> Tensor:
        first, second = (
            self.encoder(view(batch.images, batch.generator)) for view in self.augments
        )
        return -mean_cosine(first, second)


@pytest.fixture(scope="module")
def pictures() -> TrainingSet:
    drawn = shapes.split(Shapes10.kinds, 128, 8, np.random.default_rng(0))
    return TrainingSet(torch.from_numpy(drawn.images), torch.from_numpy(drawn.labels))


def spread(objective: Objective, data: TrainingSet) -> float:
    """The mean standard deviation of unit features, times the root of their number: 0 to 1."""
    encoder = objective.exported().encoder.eval()
    with torch.no_grad():
        features = unit_length(encoder(data.images.float() / 255))
    return float(features.std(0).mean()) * features.shape[1] ** 0.5


def learned(spec: str, data: TrainingSet, epochs: int) -> Objective:
    """The method after so many epochs of four steps."""
    with preserved_random_state():
        torch.manual_seed(0)
        encoder = Catalog().build("encoders", "resnet8(width=8)")
        teacher = Teacher(deepcopy(encoder), projector(encoder.width, 8, 6))
        build = partial(Catalog().build_objective, encoder=encoder, classes=10, teacher=teacher)
        made = Attraction(encoder) if spec == "" else build(spec)
    before = fingerprint(made.encoder)
    recipe = Recipe(epochs=epochs, batch=32, optimizer="adam", lr=0.02, schedule="constant")
    pretrain(made, data, recipe, Generator().manual_seed(1), RUN, spec)
    assert fingerprint(made.encoder) != before
    return made


@pytest.mark.parametrize("name", Catalog().names("methods"))
def test_an_epoch_of_each_method_as_it_is(name: str, pictures: TrainingSet) -> None:
    assert spread(learned(name, pictures, 1), pictures) > 0.1


@pytest.mark.parametrize("spec", METHODS)
def test_ten_epochs_leave_features_apart(spec: str, pictures: TrainingSet) -> None:
    assert spread(learned(spec, pictures, 10), pictures) > 0.4


def test_where_views_are_only_attracted_features_fall_together(pictures: TrainingSet) -> None:
    assert spread(learned("", pictures, 10), pictures) < 0.1
