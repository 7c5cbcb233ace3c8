"""The linear probe: its standardisation, its choice on the held-out part, its convergence."""

import dataclasses

import numpy as np
import torch
from batches import RUN, both_parts, probe_data
from sklearn.linear_model import LogisticRegression
from torch import Generator, Tensor, nn

from robench.contracts import Data, Encoder, Split
from robench.probes.linear import STRENGTHS, Linear
from robench.tensors.features import extract, to_images
from robench.tensors.logistic import fit_logistic


def fit(probe: Linear, encoder: Encoder, data: Data) -> nn.Module:
    return probe.fit(encoder, probe_data(data), Generator(), RUN)


def features(encoder: Encoder, split: Split) -> Tensor:
    return extract(encoder, [to_images(split.images, "cpu")]).double()


def test_it_is_logistic_regression_on_standardised_features(encoder: Encoder, data: Data) -> None:
    strength = 1e-2
    ours = fit(Linear(strength=strength), encoder, data)(features(encoder, data.test).float())
    images, labels = both_parts(data)
    known = extract(encoder, [images]).double().numpy()
    mean, scale = known.mean(0), known.std(0, ddof=1)
    theirs = LogisticRegression(C=1 / (len(labels) * strength), tol=1e-10, max_iter=10_000)
    theirs.fit((known - mean) / scale, labels.numpy())
    expected = theirs.decision_function((features(encoder, data.test).numpy() - mean) / scale)
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=0, atol=1e-3)


def best_strength(encoder: Encoder, data: Data) -> float:
    """Each strength tried from scratch on the held-out part; the strongest of the best."""
    images, targets = both_parts(data)
    known = extract(encoder, [images]).double()
    unit = (known - known.mean(0)) / known.std(0)
    cut, scores = len(data.train), []
    for strength in STRENGTHS:
        weights = fit_logistic(unit[:cut], targets[:cut], 3, strength)
        predicted = (unit[cut:] @ weights[:-1] + weights[-1]).argmax(1)
        scores.append(int((predicted == targets[cut:]).sum()))
    return STRENGTHS[int(np.argmax(scores))]


def mislabelled(data: Data, seed: int) -> Data:
    """Half of the training labels are wrong, so that a strong penalty pays off."""
    rng = np.random.default_rng(seed)
    labels = data.train.labels.copy()
    wrong = rng.permutation(len(labels))[::2]
    labels[wrong] = rng.integers(0, 3, len(wrong))
    return dataclasses.replace(data, train=Split(data.train.images, labels))


def test_the_strength_is_chosen_on_the_held_out_part(encoder: Encoder, data: Data) -> None:
    seen = set()
    for seed in (2, 3, 5):
        noisy = mislabelled(data, seed)
        chosen = best_strength(encoder, noisy)
        ours, theirs = (fit(probe, encoder, noisy) for probe in (Linear(), Linear(strength=chosen)))
        assert torch.equal(ours.weight, theirs.weight)
        assert torch.equal(ours.bias, theirs.bias)
        seen.add(chosen)
    assert len(seen) > 1


def test_no_draw_decides(encoder: Encoder, data: Data) -> None:
    one = fit(Linear(), encoder, data)
    again = Linear().fit(encoder, probe_data(data), Generator().manual_seed(77), RUN)
    assert torch.equal(one.weight, again.weight)


def test_a_dead_feature_does_no_harm(encoder: Encoder, data: Data) -> None:
    norm = encoder.layers[1]
    with torch.no_grad():
        norm.weight[0], norm.bias[0] = 0, -1  # ReLU makes it zero for every image
    logits = fit(Linear(), encoder, data)(features(encoder, data.test).float())
    assert logits.isfinite().all()
    assert (logits.argmax(1).numpy() == data.test.labels).mean() > 0.6
