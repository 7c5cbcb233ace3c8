"""kNN against a loop over images in float64."""

import math

import numpy as np
import pytest
import torch
from batches import RUN, Small, probe_data
from torch import Generator

from robench.catalog.catalog import Catalog
from robench.contracts import Data, Split
from robench.engine.probe import probe, rebuilt
from robench.probes.knn import KNN
from robench.tensors.features import to_images


def part(count: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8), rng.integers(0, 3, count))


DATA = Data(part(40, 1), part(10, 2), part(12, 3), ("a", "b", "c"))


def test_votes_are_weighted_by_the_cosine_of_the_nearest() -> None:
    torch.manual_seed(0)
    encoder = Small().eval()
    model = probe(KNN(7, 0.2), encoder, probe_data(DATA), Generator(), RUN)
    with torch.no_grad():
        images = to_images(DATA.test.images, "cpu")
        found, features = model(images).double(), encoder(images).double().numpy()
        both = np.concatenate([DATA.train.images, DATA.held_out.images])
        bank = encoder(to_images(both, "cpu")).double().numpy()
    labels = [*DATA.train.labels.tolist(), *DATA.held_out.labels.tolist()]
    for row, feature in enumerate(features):
        cosines = [
            float(feature @ one / np.linalg.norm(feature) / np.linalg.norm(one)) for one in bank
        ]
        nearest = sorted(range(50), key=lambda i: -cosines[i])[:7]
        votes = [0.0, 0.0, 0.0]
        for i in nearest:
            votes[labels[i]] += math.exp(cosines[i] / 0.2)
        expected = [math.log(vote / sum(votes) + 1e-6) for vote in votes]
        assert found[row].tolist() == pytest.approx(expected, abs=1e-4)


def test_it_is_rebuilt_from_its_bank_and_refuses_another() -> None:
    encoder = Small().eval()
    model = probe(KNN(500), encoder, probe_data(DATA), Generator(), RUN)  # more than there are
    weights = model.get_submodule("linear").state_dict()
    images = to_images(DATA.test.images, "cpu")
    again = rebuilt(KNN(500), encoder, 3, weights)
    assert torch.equal(again(images), model(images))
    for wrong in ({"bank": weights["bank"][:, :2]}, {"labels": weights["labels"] + 1}):
        with pytest.raises(Exception, match="KNN has weights that do not fit: a bank of"):
            rebuilt(KNN(), encoder, 3, {**weights, **wrong})


def test_k_and_temperature_stand_in_the_name() -> None:
    catalog = Catalog()
    label = catalog.label("probes", catalog.resolve("probes", "knn"))
    assert label == "knn(k=200, temperature=0.1)"


@pytest.mark.parametrize(("k", "temperature"), [(0, 0.1), (5, 0.0)])
def test_what_cannot_vote_is_refused(k: int, temperature: float) -> None:
    with pytest.raises(ValueError, match="must be at least 1 and temperature"):
        KNN(k, temperature)
