"""The optimum of logistic regression is scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from robench.tensors.logistic import fit_logistic, standardised

CLASSES = 4


def problem(samples: int = 120, width: int = 6) -> tuple[Tensor, Tensor]:
    dice = Generator().manual_seed(0)
    features = torch.randn(samples, width, dtype=torch.float64, generator=dice)
    centres = torch.randn(CLASSES, width, dtype=torch.float64, generator=dice)
    labels = torch.arange(samples) % CLASSES
    return features + centres[labels], labels


def loss(both: Tensor, features: Tensor, labels: Tensor, strength: float) -> float:
    logits = features @ both[:-1] + both[-1]
    penalty = strength / 2 * both[:-1].square().sum()
    return (cross_entropy(logits, labels) + penalty).item()


@pytest.mark.parametrize("strength", [1.0, 1e-2, 1e-4, 1e-6])
def test_it_finds_scikit_learn_s_optimum(strength: float) -> None:
    features, labels = problem()
    theirs = LogisticRegression(C=1 / (len(labels) * strength), tol=1e-10, max_iter=10_000)
    theirs.fit(features.numpy(), labels.numpy())
    both = torch.tensor(np.concatenate([theirs.coef_.T, theirs.intercept_[None]]))
    ours = fit_logistic(features, labels, CLASSES, strength)
    expected = loss(both, features, labels, strength)
    assert loss(ours, features, labels, strength) == pytest.approx(expected, abs=1e-6)
    if strength >= 1e-2:  # weaker penalties leave the weights themselves less certain
        torch.testing.assert_close(ours[:-1], both[:-1], rtol=0, atol=1e-3)


def test_the_gradient_vanishes_at_the_optimum() -> None:
    features, labels = problem()
    both = fit_logistic(features, labels, CLASSES, 1e-2).requires_grad_()
    logits = features @ both[:-1] + both[-1]
    (cross_entropy(logits, labels) + 5e-3 * both[:-1].square().sum()).backward()
    assert both.grad is not None
    assert both.grad.abs().max() < 1e-6


def test_separable_classes_stay_finite() -> None:
    labels = torch.arange(40) % CLASSES
    features = 100 * torch.eye(CLASSES, dtype=torch.float64)[labels]
    both = fit_logistic(features, labels, CLASSES, 1e-6)
    assert both.isfinite().all()
    assert torch.equal((features @ both[:-1] + both[-1]).argmax(1), labels)


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e-3, 1e3, 1e6, 1e30])
def test_standardised_features_have_no_scale(scale: float, offset: float) -> None:
    features, _ = problem()
    usual, _, _ = standardised(features.float())
    found, mean, spread = standardised((scale * (features + offset)).float())
    torch.testing.assert_close(found, usual, rtol=0, atol=1e-4)
    torch.testing.assert_close(mean / scale, (features + offset).mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(spread / scale, features.std(0), rtol=1e-4, atol=0)


def test_what_is_no_more_than_rounding_becomes_zero() -> None:
    features, _ = problem()
    features = features.float()
    features[:, 1] = 7
    features[:, 2] = 7 + 1e-7 * features[:, 2]
    features[:, 3] = 0
    found, _, spread = standardised(features)
    assert found[:, 1:4].count_nonzero() == 0
    assert spread.isinf().tolist() == [False, True, True, True, False, False]


def test_the_bias_is_free() -> None:
    # With a crushing penalty on the weights, the bias alone must give the classes' frequencies.
    features, _ = problem(samples=100)
    labels = torch.tensor([0] * 70 + [1] * 20 + [2] * 9 + [3])
    both = fit_logistic(features, labels, CLASSES, 1e6)
    shares = torch.tensor([0.7, 0.2, 0.09, 0.01], dtype=torch.float64)
    torch.testing.assert_close(both[-1].softmax(0), shares, rtol=0, atol=1e-4)


def test_where_it_starts_does_not_matter() -> None:
    features, labels = problem()
    start = torch.randn(7, CLASSES, dtype=torch.float64, generator=Generator().manual_seed(1))
    kept = start.clone()
    near, far = (fit_logistic(features, labels, CLASSES, 1e-1, s) for s in (None, start))
    logits = [features @ both[:-1] + both[-1] for both in (near, far)]
    shares = [scores.softmax(1) for scores in logits]
    torch.testing.assert_close(shares[0], shares[1], rtol=0, atol=1e-5)
    assert torch.equal(start, kept)


def test_it_runs_under_no_grad_and_returns_plain_numbers() -> None:
    features, labels = problem()
    with torch.no_grad():
        both = fit_logistic(features, labels, CLASSES, 1e-2)
    assert both.shape == (7, CLASSES)
    assert both.dtype == torch.float64
    assert not both.requires_grad
    assert torch.equal(both, fit_logistic(features, labels, CLASSES, 1e-2))
