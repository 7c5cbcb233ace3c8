"""The linear probe: its standardisation, its choice on the held-out part, its convergence."""

import dataclasses

import numpy as np
import pytest
import torch
from batches import RUN, probe_data
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


def both_parts(data: Data) -> tuple[np.ndarray, np.ndarray]:
    parts = data.train, data.held_out
    return tuple(
        np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels")
    )


def test_it_is_logistic_regression_on_standardised_features(encoder: Encoder, data: Data) -> None:
    strength = 1e-2
    ours = fit(Linear(strength=strength), encoder, data)(features(encoder, data.test).float())
    images, labels = both_parts(data)
    known = features(encoder, Split(images, labels)).numpy()
    mean, scale = known.mean(0), known.std(0, ddof=1)
    theirs = LogisticRegression(C=1 / (len(labels) * strength), tol=1e-10, max_iter=10_000)
    theirs.fit((known - mean) / scale, labels)
    expected = theirs.decision_function((features(encoder, data.test).numpy() - mean) / scale)
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=0, atol=1e-3)


def test_the_folded_standardisation_changes_no_logit(encoder: Encoder, data: Data) -> None:
    strength = 1e-3
    layer = fit(Linear(strength=strength), encoder, data)
    images, labels = both_parts(data)
    known, new = (features(encoder, part) for part in (Split(images, labels), data.test))
    mean, scale = known.mean(0), known.std(0)
    weights = fit_logistic((known - mean) / scale, torch.tensor(labels), 3, strength)
    expected = (new - mean) / scale @ weights[:-1] + weights[-1]
    torch.testing.assert_close(layer(new.float()).double(), expected, rtol=1e-5, atol=1e-4)


def best_strength(encoder: Encoder, data: Data) -> float:
    """Each strength tried from scratch on the held-out part; the strongest of the best."""
    images, labels = both_parts(data)
    known = features(encoder, Split(images, labels))
    unit = (known - known.mean(0)) / known.std(0)
    cut, targets = len(data.train), torch.tensor(labels)
    scores = []
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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_strength_is_chosen_on_the_held_out_part(
    encoder: Encoder, data: Data, seed: int
) -> None:
    noisy = mislabelled(data, seed)
    chosen = best_strength(encoder, noisy)
    ours, expected = (fit(probe, encoder, noisy) for probe in (Linear(), Linear(strength=chosen)))
    assert torch.equal(ours.weight, expected.weight)
    assert torch.equal(ours.bias, expected.bias)


def test_the_held_out_labels_change_the_choice(encoder: Encoder, data: Data) -> None:
    chosen = {best_strength(encoder, mislabelled(data, seed)) for seed in range(6)}
    assert len(chosen) > 1


def test_neither_the_batch_nor_the_dice_decide(encoder: Encoder, data: Data) -> None:
    one, other = fit(Linear(), encoder, data), fit(Linear(batch=7), encoder, data)
    torch.testing.assert_close(one.weight, other.weight, rtol=1e-3, atol=1e-4)
    again = Linear().fit(encoder, probe_data(data), Generator().manual_seed(77), RUN)
    assert torch.equal(one.weight, again.weight)


def test_a_dead_feature_does_no_harm(encoder: Encoder, data: Data) -> None:
    norm = encoder.layers[1]
    with torch.no_grad():
        norm.weight[0], norm.bias[0] = 0, -1  # ReLU makes it zero for every image
    logits = fit(Linear(), encoder, data)(features(encoder, data.test).float())
    assert logits.isfinite().all()
    assert (logits.argmax(1).numpy() == data.test.labels).mean() > 0.6


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"strength": 0.0}, {"strength": -1.0}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}={wrong[name]}"):
        Linear(**wrong)
