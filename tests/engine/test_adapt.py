"""Each way of adapting against its formula in float64, and the protocol that is fixed."""

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stored import planted
from torch import Generator, Tensor, nn

from robench.contracts import ProbeError
from robench.engine.adapt import WAYS, adapt, balanced, predictions
from robench.tensors.features import fingerprint

IMAGES = torch.rand(60, 3, 8, 8, dtype=torch.float64, generator=Generator().manual_seed(0))


def model() -> nn.Sequential:
    torch.manual_seed(1)
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    layer = nn.Linear(144, 3)
    with torch.no_grad():
        encoder[1].running_mean.fill_(0.3)
        encoder[1].running_var.fill_(2.0)
    return nn.Sequential(OrderedDict(encoder=encoder, linear=layer)).double().eval()


def by_batch(own: nn.Sequential, images: Tensor) -> Tensor:
    """Logits with BatchNorm by the batch, written out."""
    maps = own.encoder[0](images)
    mean = maps.mean((0, 2, 3), keepdim=True)
    var = maps.var((0, 2, 3), unbiased=False, keepdim=True)
    norm = own.encoder[1]
    scale, shift = (part[:, None, None] for part in (norm.weight, norm.bias))
    maps = (maps - mean) / (var + norm.eps).sqrt() * scale + shift
    return own.linear(maps.relu().flatten(1))


@pytest.mark.parametrize("way", WAYS)
def test_the_model_stays_and_each_run_starts_anew(way: str) -> None:
    own = model()
    before = fingerprint(own)
    first = predictions(own, IMAGES, way, 20)
    assert fingerprint(own) == before
    assert not any(part.training for part in own.modules())
    assert torch.equal(first, predictions(own, IMAGES, way, 20))
    assert torch.equal(first[:20], predictions(own, IMAGES[:20], way, 20))  # order, not future


def test_none_is_the_model_and_bn_stats_are_the_batch_s() -> None:
    own = model()
    with torch.no_grad():
        assert torch.equal(predictions(own, IMAGES, "none", 20), own(IMAGES).argmax(1))
        expected = torch.cat([by_batch(own, part).argmax(1) for part in IMAGES.split(20)])
    assert torch.equal(predictions(own, IMAGES, "bn-stats", 20), expected)
    assert not torch.equal(expected, own(IMAGES).argmax(1))


def test_tent_is_adam_on_the_entropy_of_each_batch() -> None:
    own, norm = model(), None
    expected = []
    state: dict[str, list[Tensor]] = {}
    for step, part in enumerate(IMAGES.split(20), 1):
        norm = own.encoder[1]
        logits = by_batch(own, part)
        expected.append(logits.argmax(1))
        p = logits.softmax(1)
        entropy = -(p * p.log()).sum(1).mean()
        for name, gradient in zip(
            ("weight", "bias"),
            torch.autograd.grad(entropy, [norm.weight, norm.bias]),
            strict=True,
        ):
            m, v = state.get(name, [torch.zeros_like(gradient)] * 2)
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            state[name] = [m, v]
            move = 1e-3 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
            with torch.no_grad():
                getattr(norm, name).sub_(move)
    assert torch.equal(predictions(model(), IMAGES, "tent", 20), torch.cat(expected))


def test_codes_are_balanced_also_where_exp_overflows() -> None:
    scores = torch.randn(50, 5, dtype=torch.float64, generator=Generator().manual_seed(2))
    codes = balanced(scores)
    torch.testing.assert_close(codes.sum(1), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(codes.sum(0), torch.full((5,), 10.0).double(), rtol=0.02, atol=0)
    # The slow form with plain sums.
    plain = scores.exp()
    for _ in range(3):
        plain = plain / plain.sum(0, keepdim=True)
        plain = plain / plain.sum(1, keepdim=True)
    torch.testing.assert_close(codes, plain)
    assert balanced(1000 * scores.float()).isfinite().all()


def test_what_cannot_adapt_is_refused() -> None:
    plain = nn.Sequential(OrderedDict(encoder=nn.Flatten(), linear=nn.Linear(192, 3)))
    data = SimpleNamespace(test=None)
    bench: Any = SimpleNamespace(classifier=lambda _: plain, data=lambda _: data)
    with pytest.raises(ProbeError, match="needs an encoder with BatchNorm and a linear probe"):
        next(adapt(bench, planted(0.5).cell.evaluation.probing, None))
