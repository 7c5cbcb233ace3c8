"""aff: TRADES in plain words, and the modes and branches of BatchNorm."""

import copy
from collections.abc import Iterator

import pytest
import torch
from batches import RUN, probe_data
from torch import Generator, Tensor, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Data, Encoder
from robench.engine.probe import probe as fitted
from robench.probes.aff import AFF
from robench.tensors.batchnorm import add_branch, use_branch
from robench.tensors.features import fingerprint
from robench.tensors.modes import preserved_random_state
from robench.tensors.trades import trades

EPS, STEP, STEPS, BETA = 8 / 255, 2 / 255, 10, 6.0


@pytest.fixture
def model() -> Iterator[nn.Sequential]:
    with preserved_random_state():
        torch.manual_seed(0)
        encoder = Catalog().build("encoders", "resnet8(width=4)")
        yield nn.Sequential(encoder, nn.Linear(encoder.width, 3)).double()


def dice(seed: int = 3) -> Generator:
    return Generator().manual_seed(seed)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """The sum of KL(p || q) over rows of logits, a term at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for row, other in zip(p, q, strict=True):
        one, two = row.exp() / row.exp().sum(), other.exp() / other.exp().sum()
        for a, b in zip(one, two, strict=True):
            total = total + a * (a.log() - b.log())
    return total


def climb(model: nn.Module, images: Tensor, noise: Tensor) -> Tensor:
    model.eval()
    x = images + 0.001 * noise
    for _ in range(STEPS):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(divergence(model(images), model(x)), x)
        x = x.detach() + STEP * gradient.sign()
        x = torch.minimum(torch.maximum(x, images - EPS), images + EPS).clamp(0, 1)
    return x.detach()


def test_a_step_is_trades_in_plain_words(model: nn.Sequential) -> None:
    images = torch.rand(5, 3, 8, 8, generator=dice(1), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 1, 0])
    twin = copy.deepcopy(model)
    model.train()
    adversary = AFF().adversary(model, images, dice())
    assert model.training
    noise = torch.empty_like(images).normal_(generator=dice())
    expected = climb(twin, images, noise)
    torch.testing.assert_close(adversary, expected, rtol=0, atol=1e-12)
    assert (adversary - images).abs().max() == pytest.approx(EPS)
    assert fingerprint(model) == fingerprint(twin)  # running averages too
    twin.train()
    loss = trades(model, images, adversary, labels, BETA)
    logits = twin(images)
    natural = -sum(
        (row.exp() / row.exp().sum())[label].log()
        for row, label in zip(logits, labels, strict=True)
    )
    slow = natural / 5 + BETA * divergence(logits, twin(expected)) / 5
    torch.testing.assert_close(loss, slow, rtol=0, atol=1e-10)
    loss.backward()
    slow.backward()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-10)
    for ours, theirs in zip(model.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_batchnorm_is_in_eval_mode_for_the_adversary_and_in_train_mode_for_the_loss(
    encoder: Encoder, data: Data
) -> None:
    modes: list[bool] = []
    encoder.layers[1].register_forward_hook(lambda module, *_: modes.append(module.training))
    probe = AFF(epochs=1, batch=200, steps=4)
    probe.fit(encoder, probe_data(data), dice(), RUN)
    assert modes == [False] * 5 + [True] * 2
    assert probe.passes() == 0.5 + 4 + 2 * 1.5


def test_of_two_branches_the_one_in_use_is_trained(encoder: Encoder, data: Data) -> None:
    add_branch(encoder, "adversarial", momentum=0.01)
    use_branch(encoder, "adversarial")
    given = encoder.layers[1]
    found = fitted(AFF(epochs=1, batch=60, steps=1), encoder, probe_data(data), dice(), RUN)
    trained = found.encoder.layers[1]
    assert trained.branch == "adversarial"
    assert not torch.equal(trained.adversarial.weight, given.adversarial.weight)
    assert not torch.equal(trained.adversarial.running_mean, given.adversarial.running_mean)
    for name, tensor in given.clean.state_dict().items():
        assert torch.equal(trained.clean.state_dict()[name], tensor)
