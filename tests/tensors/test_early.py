"""A term that was differentiated early: the same value and gradient, and nothing kept."""

import weakref

import torch
from torch import Generator, Tensor, nn

from robench.tensors.early import differentiated


def terms(network: nn.Module) -> tuple[Tensor, Tensor]:
    images = torch.rand(4, 3, dtype=torch.float64, generator=Generator().manual_seed(0))
    return network(images).square().mean(), network(2 * images).sin().sum()


def make() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    dice = Generator().manual_seed(1)
    with torch.no_grad():
        for weights in network.parameters():
            weights.normal_(generator=dice)
    return network


def test_value_and_gradient_stay() -> None:
    network, twin = make(), make()
    first, second = terms(network)
    ours = 3 * (first + differentiated(second, network.parameters()) / 7)
    first, second = terms(twin)
    theirs = 3 * (first + second / 7)
    assert torch.equal(ours, theirs)
    ours.backward()
    theirs.backward()
    for mine, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-12, atol=1e-12)


def test_it_leaves_gradients_that_are_there_until_the_sum_is_differentiated() -> None:
    network = make()
    for weights in network.parameters():
        weights.grad = torch.full_like(weights, 7.0)
    known = differentiated(terms(network)[1], network.parameters())
    assert all(bool((weights.grad == 7).all()) for weights in network.parameters())
    known.backward()
    assert not any(bool((weights.grad == 7).all()) for weights in network.parameters())


def test_what_it_was_computed_from_is_let_go() -> None:
    network = make()
    hidden = network[0](torch.rand(4, 3, dtype=torch.float64))
    known = differentiated(hidden.exp().sum(), network.parameters())
    graph = weakref.ref(hidden)
    del hidden
    assert graph() is None
    known.backward()


def test_weights_without_a_part_in_it_get_no_gradient() -> None:
    network, other = make(), nn.Parameter(torch.ones(2))
    network[0].weight.requires_grad = False
    known = differentiated(terms(network)[1], [*network.parameters(), other])
    known.backward()
    assert other.grad is None
    assert network[0].weight.grad is None
    assert network[2].weight.grad is not None


def test_without_a_graph_it_is_the_value() -> None:
    value = torch.tensor(2.0)
    assert differentiated(value, []) is value
